#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "condition.h"
#include "loop_wake.h"
#include "node_call.h"
#include "open_node.h"
#include "session_gate.h"

namespace vmb {

/**
 * A thread that runs the calls of one file in order. The thread exists while the node is open or calls are
 * queued. No other thread waits for its end, because an ioctl may take seconds and may outlast the
 * environment.
 */
class NodeLane : public std::enable_shared_from_this<NodeLane> {
 public:
  explicit NodeLane(std::shared_ptr<LoopWake> wake) : wake_(std::move(wake)) {}

  /** Called on the loop. If no thread can be started, the errno of that is the result of the call. */
  void Submit(std::shared_ptr<NodeCall> call);
  /** The errno of the next call, in the order of submission. nullopt: no further call has ended. */
  std::optional<int> TakeResult();

  SessionGate& gate() { return gate_; }
  /** For a ring's thread that the gate has let in, so that the node cannot be closed meanwhile. -1: not open. */
  int fd() const { return node_.fd(); }
  /** Tells the loop that the gate is its own. */
  void WakeLoop() { wake_->Send(); }

 private:
  int Start();
  static void* Main(void* lane);
  void Work();

  std::shared_ptr<LoopWake> wake_;
  OpenNode node_;
  SessionGate gate_;
  std::mutex mutex_;
  Condition submitted_;
  std::deque<std::shared_ptr<NodeCall>> calls_;
  std::deque<int> results_;
  bool running_ = false;
};

}  // namespace vmb
