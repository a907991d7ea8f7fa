#pragma once

#include <errno.h>
#include <sys/epoll.h>

#include <cstdint>

namespace vmb {

/** epoll_ctl(2). `what` comes back with the events. Returns an errno. */
inline int Control(int epoll, int operation, int fd, uint32_t events, uint64_t what) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = what;
  return epoll_ctl(epoll, operation, fd, &event) == 0 ? 0 : errno;
}

}  // namespace vmb
