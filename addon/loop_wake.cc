#include "loop_wake.h"

namespace vmb {

int LoopWake::Open(napi_env env, void* owner, uv_async_cb woken, LoopHandle<uv_async_t>::Ended ended) {
  const std::lock_guard lock(mutex_);
  return async_.Open(env, owner, ended, [woken](uv_loop_t* loop, uv_async_t* async) {
    return uv_async_init(loop, async, woken);
  });
}

void LoopWake::Close() {
  const std::lock_guard lock(mutex_);
  async_.Close();
}

void LoopWake::Hold(bool held) {
  auto* handle = reinterpret_cast<uv_handle_t*>(async_.get());
  if (handle == nullptr) return;
  held ? uv_ref(handle) : uv_unref(handle);
}

void LoopWake::Send(uint32_t events) {
  events_.fetch_or(events);
  const std::lock_guard lock(mutex_);
  if (async_.get() != nullptr) uv_async_send(async_.get());
}

}  // namespace vmb
