#pragma once

#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

#include "unique_fd.h"

namespace vmb {

/** Milliseconds of the clock that performance.now() has as well. */
inline int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

/** Adds 1 to the counter of an eventfd, which never waits because the counter is never near its end. */
inline void Signal(const UniqueFd& fd) {
  const uint64_t one = 1;
  (void)!write(fd.get(), &one, sizeof one);
}

/** The timer expires once, so many milliseconds from now. */
inline void StartTimer(const UniqueFd& timer, int64_t milliseconds) {
  itimerspec at{};
  at.it_value.tv_sec = milliseconds / 1000;
  at.it_value.tv_nsec = milliseconds % 1000 * 1'000'000 + 1;
  timerfd_settime(timer.get(), 0, &at, nullptr);
}

}  // namespace vmb
