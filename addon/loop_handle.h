#pragma once

#include <node_api.h>
#include <uv.h>

#include <new>
#include <type_traits>
#include <utility>

namespace vmb {

/**
 * A libuv handle. It is closed with its owner and freed when libuv has called back. If the environment ends
 * first, `ended(owner)` must close the handle, and the environment waits until libuv has called back, because
 * a worker whose loop still has a handle ends the process.
 */
template <typename Handle>
class LoopHandle {
 public:
  using Ended = void (*)(void* owner);

  LoopHandle() = default;
  LoopHandle(const LoopHandle&) = delete;
  LoopHandle& operator=(const LoopHandle&) = delete;
  ~LoopHandle() { Close(); }

  /** `start(loop, handle)` makes the uv_*_init call. `handle->data` becomes the owner. Returns an errno. */
  template <typename Start>
  int Open(napi_env env, void* owner, Ended ended, Start start) {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env, &loop) != napi_ok) return ENOTSUP;
    auto* state = new (std::nothrow) State{};
    if (state == nullptr) return ENOMEM;
    if (const int status = start(loop, &state->handle); status < 0) {
      delete state;
      return -status;
    }
    state_ = state;
    state->handle.data = owner;
    if (napi_add_async_cleanup_hook(env, OnEnd, state, &state->hook) != napi_ok) {
      Close();
      return ENOTSUP;
    }
    state->ended = ended;
    return 0;
  }

  Handle* get() const { return state_ == nullptr ? nullptr : &state_->handle; }

  void Close() {
    if (state_ == nullptr) return;
    State* state = std::exchange(state_, nullptr);
    state->ended = nullptr;
    uv_close(reinterpret_cast<uv_handle_t*>(&state->handle), OnClosed);
  }

 private:
  struct State {
    Handle handle;  // Must be first: libuv passes its address to OnClosed.
    napi_async_cleanup_hook_handle hook;
    Ended ended;
  };

  static void OnEnd(napi_async_cleanup_hook_handle, void* argument) {
    static_assert(std::is_standard_layout_v<State>);
    auto* state = static_cast<State*>(argument);
    if (state->ended != nullptr) state->ended(state->handle.data);
  }

  static void OnClosed(uv_handle_t* handle) {
    auto* state = reinterpret_cast<State*>(handle);
    if (state->hook != nullptr) napi_remove_async_cleanup_hook(state->hook);
    delete state;
  }

  State* state_ = nullptr;
};

}  // namespace vmb
