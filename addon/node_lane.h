#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "condition.h"
#include "loop_wake.h"
#include "node_call.h"
#include "open_node.h"

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

  SessionGate& gate() { return node_.gate; }
  OpenNode& node() { return node_; }
  /** A thread has called Done of the gate: drains frames that became ready meanwhile, and wakes the loop. */
  void Leave(SessionGate::Left left);

 private:
  int Start();
  static void* Main(void* lane);
  void Work();

  std::shared_ptr<LoopWake> wake_;
  OpenNode node_;
  std::mutex mutex_;
  Condition submitted_;
  std::deque<std::shared_ptr<NodeCall>> calls_;
  std::deque<int> results_;
  bool running_ = false;
};

}  // namespace vmb
