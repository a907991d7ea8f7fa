#include "loop_turn.h"

#include <uv.h>

namespace vmb {

LoopTurn& LoopTurn::Of(napi_env env) {
  static thread_local LoopTurn turn;
  uv_loop_t* loop = nullptr;
  uv_metrics_t metrics{};
  if (napi_get_uv_event_loop(env, &loop) == napi_ok) uv_metrics_info(loop, &metrics);
  if (metrics.loop_count != turn.number_) turn = LoopTurn();
  turn.number_ = metrics.loop_count;
  return turn;
}

}  // namespace vmb
