// poll and select for sets in which some of the descriptors are ours.
#pragma once

#include "real.h"

namespace preload {

// As ppoll. `timeout` null: no limit.
int poll_files(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask);

// As pselect.
int select_files(int count, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout, const sigset_t* mask);

// The time that is left until a moment, for calls that wait several times.
class Deadline {
 public:
  explicit Deadline(const timespec* timeout);
  // Null: no limit.
  const timespec* left();
  bool passed();

 private:
  bool forever_;
  timespec end_{}, left_{};
};

}  // namespace preload
