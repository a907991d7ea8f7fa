#pragma once

#include <napi.h>
#include <uv.h>

#include "loop_handle.h"
#include "unique_fd.h"

namespace vmb {

/**
 * The JavaScript class FdPoller. libuv polls an epoll of our own that has the descriptor in it. So the flags
 * of the descriptor do not change, and one descriptor may have several pollers. Close the poller before the
 * descriptor.
 */
class FdPoller : public Napi::ObjectWrap<FdPoller> {
 public:
  static void Export(Napi::Env env, Napi::Object exports);
  explicit FdPoller(const Napi::CallbackInfo& info);

 private:
  int Start(Napi::Env env, int fd);
  int SetEvents(uint32_t events);
  void Watch(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  uint32_t Ready() const;
  void OnReadable();
  void Shut();

  int fd_ = -1;
  uint32_t events_ = 0;
  UniqueFd epoll_;
  LoopHandle<uv_poll_t> poll_;
  Napi::FunctionReference callback_;
};

}  // namespace vmb
