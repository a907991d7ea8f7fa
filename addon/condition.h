#pragma once

#include <pthread.h>

#include <mutex>

namespace vmb {

/**
 * A condition variable for std::mutex. std::condition_variable::wait has another symbol version since GCC 12,
 * so a prebuilt addon that calls it would not load on a system with an older libstdc++
 * (docs/installation.md).
 */
class Condition {
 public:
  Condition() = default;
  Condition(const Condition&) = delete;
  Condition& operator=(const Condition&) = delete;
  ~Condition() { pthread_cond_destroy(&condition_); }

  /** The caller holds `lock`. May return without a notification. */
  void Wait(std::unique_lock<std::mutex>& lock) {
    pthread_cond_wait(&condition_, lock.mutex()->native_handle());
  }
  void NotifyOne() { pthread_cond_signal(&condition_); }

 private:
  pthread_cond_t condition_ = PTHREAD_COND_INITIALIZER;
};

}  // namespace vmb
