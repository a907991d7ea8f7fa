// epoll with descriptors of ours in it: the kernel knows nothing of them.
#pragma once

#include "real.h"

namespace preload {

// As epoll_ctl, for a descriptor of ours.
int control_epoll(int epoll, int operation, int fd, epoll_event* event);
// Whether an epoll descriptor has descriptors of ours.
bool is_watched(int epoll);
// As epoll_pwait, for such an epoll descriptor.
int wait_epoll(int epoll, epoll_event* events, int most, int milliseconds, const sigset_t* mask);
// A descriptor is about to be closed: ours, or an epoll descriptor.
void forget_epoll(int fd);

}  // namespace preload
