#pragma once

#include <node_api.h>

#include <cstddef>

namespace vmb {

/**
 * What the completions of calls may cost in one turn of a loop, whichever files they are of: results that come together are
 * told over several turns. In bytes, as the account in src/virtio/turn.ts; each loop has its own thread, and each thread one.
 */
class LoopTurn {
 public:
  /** That of the calling thread, which runs the loop of `env`. */
  static LoopTurn& Of(napi_env env);

  bool IsOver() const { return spent_ >= kBytes; }
  /** A call is completed that copies so many bytes back. The last one of a turn may cost more than is left. */
  void Spend(size_t bytes) { spent_ += kCompletion + bytes; }

 private:
  static constexpr size_t kBytes = 0x10'0000;
  /** What is called in JavaScript. */
  static constexpr size_t kCompletion = 0x8000;

  size_t number_ = 0;
  size_t spent_ = 0;
};

}  // namespace vmb
