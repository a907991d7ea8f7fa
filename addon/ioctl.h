#pragma once

#include <errno.h>
#include <sys/ioctl.h>

namespace vmb {

/** ioctl(2), repeated after EINTR. Returns an errno. */
inline int Ioctl(int fd, unsigned long request, void* payload) {
  int result;
  do {
    result = ioctl(fd, request, payload);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

}  // namespace vmb
