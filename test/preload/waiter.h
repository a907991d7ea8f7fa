// Threads that wait for a change in any session. Each waiter has a descriptor that becomes readable when
// anything has changed.
#pragma once

namespace preload {

// Registered from construction to destruction. Construct one, then check the state, then wait.
class Waiter {
 public:
  Waiter();
  ~Waiter();
  Waiter(const Waiter&) = delete;

  // The descriptor for poll.
  int fd() const { return fd_; }
  // Makes the descriptor unreadable until the next change.
  void drain() const;
  // Waits for a change. False: a signal arrived whose handler does not restart system calls.
  bool wait() const;

  // Reports a change to all waiters.
  static void wake_all();

 private:
  int fd_;
};

}  // namespace preload
