#pragma once

#include <uv.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "loop_handle.h"

namespace vmb {

/**
 * Wakes the loop from any thread and brings event bits to it. Threads share it with a shared_ptr, and may
 * call Send even after the loop's side has closed it.
 */
class LoopWake {
 public:
  /** Called on the loop. `woken(owner)` runs on the loop, at least once after each Send. Returns an errno. */
  int Open(napi_env env, void* owner, uv_async_cb woken, LoopHandle<uv_async_t>::Ended ended);
  void Close();
  /** Sets whether the handle keeps the process alive. */
  void Hold(bool held);

  void Send(uint32_t events = 0);
  /** The event bits that were sent since the last Take. */
  uint32_t Take() { return events_.exchange(0); }

 private:
  std::mutex mutex_;  // uv_async_send must not run during or after uv_close.
  LoopHandle<uv_async_t> async_;
  std::atomic<uint32_t> events_ = 0;
};

}  // namespace vmb
