// libc's own functions that this library replaces. They never call the replacements.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/types.h>

namespace preload::real {

int open(const char* path, int flags, mode_t mode);
int openat(int folder, const char* path, int flags, mode_t mode);
int close(int fd);
int dup(int fd);
int dup2(int fd, int to);
int dup3(int fd, int to, int flags);
int fcntl(int fd, int command, long argument);
int ioctl(int fd, unsigned long request, void* argument);
void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset);
int munmap(void* address, size_t length);
int poll(pollfd* fds, nfds_t count, int milliseconds);
int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask);
int select(int count, fd_set* in, fd_set* out, fd_set* except, timeval* timeout);
int pselect(int count, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout, const sigset_t* mask);
int epoll_ctl(int epoll, int operation, int fd, epoll_event* event);
int epoll_pwait(int epoll, epoll_event* events, int most, int milliseconds, const sigset_t* mask);
ssize_t read(int fd, void* bytes, size_t count);
ssize_t write(int fd, const void* bytes, size_t count);

}  // namespace preload::real
