#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdint>

#include "unique_fd.h"

namespace vmb {

/** The call of a ring: an eventfd of the VMM. Any thread may ring it. */
class Doorbell {
 public:
  explicit Doorbell(int fd) : fd_(fcntl(fd, F_DUPFD_CLOEXEC, 0)) {
    const int flags = fcntl(fd, F_GETFL);
    may_wait_ = flags >= 0 && (flags & O_NONBLOCK) == 0;
  }

  /** If its counter is saturated, the peer has been rung, and write(2) could wait. */
  void Ring() const {
    pollfd entry = {fd_.get(), POLLOUT, 0};
    if (may_wait_ && (poll(&entry, 1, 0) != 1 || (entry.revents & POLLOUT) == 0)) return;
    const uint64_t one = 1;
    (void)!write(fd_.get(), &one, sizeof one);
  }

 private:
  UniqueFd fd_;
  bool may_wait_;
};

}  // namespace vmb
