#include "real.h"

#include <dlfcn.h>

namespace preload::real {
namespace {

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// Resolved at the first call: the next library in the order of symbols has the function.
#define FORWARD(name, type, ...)                        \
  static const auto function = next<type>(#name);      \
  return function(__VA_ARGS__)

int open(const char* path, int flags, mode_t mode) { FORWARD(open, int (*)(const char*, int, ...), path, flags, mode); }
int openat(int folder, const char* path, int flags, mode_t mode) {
  FORWARD(openat, int (*)(int, const char*, int, ...), folder, path, flags, mode);
}
int close(int fd) { FORWARD(close, int (*)(int), fd); }
int dup(int fd) { FORWARD(dup, int (*)(int), fd); }
int dup2(int fd, int to) { FORWARD(dup2, int (*)(int, int), fd, to); }
int dup3(int fd, int to, int flags) { FORWARD(dup3, int (*)(int, int, int), fd, to, flags); }
int fcntl(int fd, int command, long argument) { FORWARD(fcntl, int (*)(int, int, ...), fd, command, argument); }
int ioctl(int fd, unsigned long request, void* argument) {
  FORWARD(ioctl, int (*)(int, unsigned long, ...), fd, request, argument);
}
void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  FORWARD(mmap, void* (*)(void*, size_t, int, int, int, off_t), address, length, protection, flags, fd, offset);
}
int munmap(void* address, size_t length) { FORWARD(munmap, int (*)(void*, size_t), address, length); }
int poll(pollfd* fds, nfds_t count, int milliseconds) {
  FORWARD(poll, int (*)(pollfd*, nfds_t, int), fds, count, milliseconds);
}
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  FORWARD(ppoll, int (*)(pollfd*, nfds_t, const timespec*, const sigset_t*), fds, count, timeout, mask);
}
int select(int count, fd_set* in, fd_set* out, fd_set* except, timeval* timeout) {
  FORWARD(select, int (*)(int, fd_set*, fd_set*, fd_set*, timeval*), count, in, out, except, timeout);
}
int pselect(int count, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout, const sigset_t* mask) {
  FORWARD(pselect, int (*)(int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*), count, in, out, except,
          timeout, mask);
}
int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
  FORWARD(epoll_ctl, int (*)(int, int, int, epoll_event*), epoll, operation, fd, event);
}
int epoll_pwait(int epoll, epoll_event* events, int most, int milliseconds, const sigset_t* mask) {
  FORWARD(epoll_pwait, int (*)(int, epoll_event*, int, int, const sigset_t*), epoll, events, most, milliseconds, mask);
}
ssize_t read(int fd, void* bytes, size_t count) { FORWARD(read, ssize_t (*)(int, void*, size_t), fd, bytes, count); }
ssize_t write(int fd, const void* bytes, size_t count) {
  FORWARD(write, ssize_t (*)(int, const void*, size_t), fd, bytes, count);
}

}  // namespace preload::real
