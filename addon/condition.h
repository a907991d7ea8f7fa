#pragma once

#include <pthread.h>
#include <time.h>

#include <cstdint>
#include <mutex>

namespace vmb {

/**
 * A condition variable for std::mutex. std::condition_variable::wait has another symbol version since GCC 12,
 * so a prebuilt addon that calls it would not load on a system with an older libstdc++
 * (docs/installation.md).
 */
class Condition {
 public:
  Condition() {
    // pthread_cond_clockwait is missing in musl, and in glibc before 2.30.
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&condition_, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  ~Condition() { pthread_cond_destroy(&condition_); }

  /** The caller holds `lock`. May return without a notification. */
  void Wait(std::unique_lock<std::mutex>& lock) {
    pthread_cond_wait(&condition_, lock.mutex()->native_handle());
  }
  /** The same for at most so many milliseconds. It does not matter if the time of day is set meanwhile. */
  void WaitFor(std::unique_lock<std::mutex>& lock, int64_t milliseconds) {
    timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const int64_t nanoseconds = until.tv_nsec + milliseconds % 1000 * 1'000'000;
    until.tv_sec += milliseconds / 1000 + nanoseconds / 1'000'000'000;
    until.tv_nsec = nanoseconds % 1'000'000'000;
    pthread_cond_timedwait(&condition_, lock.mutex()->native_handle(), &until);
  }
  void NotifyOne() { pthread_cond_signal(&condition_); }
  void NotifyAll() { pthread_cond_broadcast(&condition_); }

 private:
  pthread_cond_t condition_;
};

}  // namespace vmb
