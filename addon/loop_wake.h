#pragma once

#include <uv.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "loop_handle.h"

namespace vmb {

/**
 * Wakes the loop from any thread, and carries event bits there. Threads share it with a shared_ptr and may go
 * on sending after the loop's side has closed it.
 */
class LoopWake {
 public:
  /** On the loop. `woken(owner)` runs on the loop, at least once after each Send. Returns an errno. */
  int Open(napi_env env, void* owner, uv_async_cb woken, LoopHandle<uv_async_t>::Ended ended);
  void Close();
  /** Whether the handle keeps the process alive. */
  void Hold(bool held);

  void Send(uint32_t events = 0);
  /** The bits sent since the last time. */
  uint32_t Take() { return events_.exchange(0); }

 private:
  std::mutex mutex_;  // uv_async_send must not meet uv_close.
  LoopHandle<uv_async_t> async_;
  std::atomic<uint32_t> events_ = 0;
};

}  // namespace vmb
