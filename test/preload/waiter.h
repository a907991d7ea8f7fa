// Threads that wait for something of any session: each has a descriptor that becomes readable when anything changed.
#pragma once

namespace preload {

// Registered from construction to destruction: look at the state after constructing one, then wait.
class Waiter {
 public:
  Waiter();
  ~Waiter();
  Waiter(const Waiter&) = delete;

  // For poll.
  int fd() const { return fd_; }
  // Makes it unreadable until the next change.
  void drain() const;
  // After poll has said that there is a change: the time until the program goes on (VMB_PRELOAD_WAKE_US).
  static void go_on();
  // Waits for a change. False: a signal whose handler does not restart system calls.
  bool wait() const;

  // Something has changed.
  static void wake_all();

 private:
  int fd_;
};

}  // namespace preload
