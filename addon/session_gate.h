#pragma once

#include <cstdint>
#include <mutex>
#include <utility>

#include "condition.h"
#include "wakeup.h"

namespace vmb {

/**
 * Who uses an open file: the loop (through the lane), or a thread of a ring. A session does one thing at a time, so it is
 * one of them. A new file is the loop's.
 */
class SessionGate {
 public:
  /** The loop wants the file. False: a thread has it. When it lets go, the file is the loop's, and TakeHeld tells so. */
  bool Hold() {
    const std::lock_guard lock(mutex_);
    if (user_ == User::kThread) {
      wanted_ = true;
      return false;
    }
    user_ = User::kLoop;
    return true;
  }

  /** The loop no longer needs the file. */
  void Release() {
    const std::lock_guard lock(mutex_);
    if (user_ == User::kLoop && !closed_) user_ = User::kNobody;
    let_go_.NotifyAll();
  }

  /** A thread wants the file. False: the loop has it, or another thread. */
  bool Use() {
    const std::lock_guard lock(mutex_);
    if (user_ != User::kNobody || closed_) return false;
    user_ = User::kThread;
    return true;
  }

  /**
   * Waits a moment for who has the file. False: the moment was too short. The loop often has it just to drain a frame;
   * a thread that did not wait would give the ring back, and the loop would have the next commands as well.
   */
  bool Await() {
    std::unique_lock lock(mutex_);
    const int64_t until = Now() + kMomentMs;
    for (int64_t left = kMomentMs; left > 0 && user_ != User::kNobody && !closed_; left = until - Now())
      let_go_.WaitFor(lock, left);
    return user_ == User::kNobody && !closed_;
  }

  /** What comes after a thread has let go. */
  struct Left {
    /** The thread still has the file, because frames became ready: it drains them and calls Done again. */
    bool again = false;
    /** The loop has the file, for which it has waited. */
    bool held = false;
    /** The loop has to drain frames that became ready. */
    bool frames = false;
  };
  /** The thread lets go. `to_loop`: the file is the loop's in any case, and the loop is told in another way. */
  Left Done(bool to_loop) {
    const std::lock_guard lock(mutex_);
    Left left;
    left.frames = std::exchange(frames_, false);
    if (left.frames && !to_loop && !wanted_) {
      left.again = true;
      return left;
    }
    held_ = left.held = wanted_ && !to_loop;
    user_ = wanted_ || to_loop ? User::kLoop : User::kNobody;
    wanted_ = false;
    let_go_.NotifyAll();
    return left;
  }

  /** The watcher wants the file, because frames are ready. kThread: the thread that has it drains them. */
  enum class Ready { kUse, kLoop, kThread };
  Ready UseForFrames() {
    const std::lock_guard lock(mutex_);
    if (user_ == User::kLoop || closed_ || wanted_) return Ready::kLoop;
    if (user_ == User::kThread) {
      frames_ = true;
      return Ready::kThread;
    }
    user_ = User::kThread;
    return Ready::kUse;
  }

  /** Whether the loop has got the file that it waited for. */
  bool TakeHeld() {
    const std::lock_guard lock(mutex_);
    return std::exchange(held_, false);
  }

  /** Waits until no thread has the file. None gets it afterwards. */
  void Close() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    while (user_ == User::kThread) let_go_.Wait(lock);
  }

 private:
  enum class User { kLoop, kNobody, kThread };
  /** Milliseconds: many times what a frame takes, and too little for a guest to notice. */
  static constexpr int64_t kMomentMs = 2;

  std::mutex mutex_;
  Condition let_go_;
  User user_ = User::kLoop;
  bool wanted_ = false;
  bool frames_ = false;
  bool held_ = false;
  bool closed_ = false;
};

}  // namespace vmb
