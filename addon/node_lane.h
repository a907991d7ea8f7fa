#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "loop_wake.h"
#include "node_call.h"
#include "open_node.h"

namespace vmb {

/**
 * A thread that runs one file's calls in order. It exists while the node is open or calls wait; nobody waits
 * for it: an ioctl may hold it for seconds, and past the end of the environment.
 */
class NodeLane : public std::enable_shared_from_this<NodeLane> {
 public:
  explicit NodeLane(std::shared_ptr<LoopWake> wake) : wake_(std::move(wake)) {}

  /** On the loop. Where no thread can be had, the call's result is that errno. */
  void Submit(std::shared_ptr<NodeCall> call);
  /** The next result, in the order of submission; none: no further call has ended. */
  std::optional<int> TakeResult();

  OpenNode& node() { return node_; }
  const std::shared_ptr<LoopWake>& wake() const { return wake_; }

 private:
  int Start();
  static void* Main(void* lane);
  void Work();

  std::shared_ptr<LoopWake> wake_;
  OpenNode node_;
  std::mutex mutex_;
  std::condition_variable submitted_;
  std::deque<std::shared_ptr<NodeCall>> calls_;
  std::deque<int> results_;
  bool running_ = false;
};

}  // namespace vmb
