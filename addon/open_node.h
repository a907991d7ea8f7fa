#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "frame_plan.h"
#include "loop_wake.h"
#include "node_watcher.h"
#include "session_gate.h"
#include "unique_fd.h"

namespace vmb {

/**
 * The descriptor of a node, and its watcher. The lane uses it. A thread that the gate has let in may use the descriptor
 * and the plan.
 */
class OpenNode {
 public:
  OpenNode() = default;
  OpenNode(const OpenNode&) = delete;
  OpenNode& operator=(const OpenNode&) = delete;
  ~OpenNode() { Close(); }

  /** Opens `path` with O_NONBLOCK. Returns an errno. */
  int Open(const std::string& path, std::shared_ptr<LoopWake> wake);
  /** Harmless if nothing is open. */
  void Close();

  bool is_open() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  /** Sets or clears O_NONBLOCK of the open file. Returns an errno. */
  int SetNonBlocking(bool on);
  int Watch(uint32_t events) { return watcher_.Watch(fd_.get(), events); }

  SessionGate gate;
  /** What may be done with buffers without the loop. Null: nothing. A thread that the gate has let in uses it. The loop and
   * the lane's close exchange it, with the mutex. */
  std::unique_ptr<FramePlan> plan;
  std::mutex plan_mutex;
  /** Sends an event for each frame that is ready. The gate has let the caller in, who rings `call` when it has let go.
   * False: the loop has to go on. */
  bool DrainFrames(std::shared_ptr<Doorbell>& call);
  /**
   * A thread has called Done of the gate: drains the frames that became ready meanwhile, and rings `call`. `done` becomes
   * false if the loop has to go on. Returns what the last Done has returned.
   */
  SessionGate::Left Settle(SessionGate::Left left, std::shared_ptr<Doorbell> call, bool& done);
  /** On the watcher: the node is ready. False: the loop has to look. */
  bool OnReady(uint32_t events);

 private:
  UniqueFd fd_;
  NodeWatcher watcher_;
};

}  // namespace vmb
