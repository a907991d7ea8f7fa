// epoll for sets that contain descriptors of ours, which the kernel does not know.
#pragma once

#include "real.h"

namespace preload {

// As epoll_ctl, for a descriptor of ours.
int control_epoll(int epoll, int operation, int fd, epoll_event* event);
// Whether an epoll descriptor contains descriptors of ours.
bool is_watched(int epoll);
// As epoll_pwait, for an epoll descriptor that contains descriptors of ours.
int wait_epoll(int epoll, epoll_event* events, int most, int milliseconds, const sigset_t* mask);
// Called before a descriptor is closed: one of ours, or an epoll descriptor.
void forget_epoll(int fd);

}  // namespace preload
