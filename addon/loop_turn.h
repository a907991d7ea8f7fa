#pragma once

#include <node_api.h>

#include <cstddef>

namespace vmb {

/**
 * What completed calls may cost in one turn of a loop, over all files together. If many calls complete at
 * once, their results are delivered over several turns. Costs are in bytes, as in src/virtio/turn.ts. Each
 * thread has one LoopTurn, because each loop runs on a thread of its own.
 */
class LoopTurn {
 public:
  /** The LoopTurn of the calling thread, which must be the thread that runs the loop of `env`. */
  static LoopTurn& Of(napi_env env);

  bool IsOver() const { return spent_ >= kBytes; }
  /** Adds the cost of a call that copies `bytes` bytes back. The last call of a turn may cost more than is
   * left. */
  void Spend(size_t bytes) { spent_ += kCompletion + bytes; }

 private:
  static constexpr size_t kBytes = 0x10'0000;
  /** The cost of the JavaScript callback, in bytes. */
  static constexpr size_t kCompletion = 0x8000;

  size_t number_ = 0;
  size_t spent_ = 0;
};

}  // namespace vmb
