// The symbols that programs find here instead of libc's. Calls for files that are not ours go on to libc.
#include <cerrno>
#include <cstdarg>
#include <fcntl.h>
#include <memory>
#include <pthread.h>
#include <sys/mman.h>

#include "device.h"
#include "epolling.h"
#include "files.h"
#include "mapping.h"
#include "media_device.h"
#include "objects.h"
#include "polling.h"
#include "real.h"
#include "settings.h"

using namespace preload;

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

int fail(int error) {
  errno = error;
  return -1;
}

// Returns a descriptor; -1: an error, and errno is set; -2: the path is not taken over.
int open_node(const char* path, int flags) {
  if (!path || are_abandoned() || !Settings::get().socket(path)) return -2;
  const std::shared_ptr<Device> device = Device::at(path);
  if (!device) return fail(ENXIO);
  int error;
  auto session = Session::open(device, flags, &error);
  return session ? install(std::move(session), flags) : fail(-error);
}

// As open_node, for a media device.
int open_media(const char* path, int flags) {
  const std::string* node = path && !are_abandoned() ? Settings::get().node_of_media(path) : nullptr;
  if (!node) return -2;
  auto device = Device::at(node->c_str());
  if (!device) return fail(ENXIO);
  auto media = MediaDevice::open(path, std::move(device), flags);
  return media ? install(std::move(media), flags) : -1;
}

int open_ours(const char* path, int flags) {
  const int fd = open_node(path, flags);
  return fd == -2 ? open_media(path, flags) : fd;
}

int open_any(const char* path, int flags, mode_t mode) {
  const int fd = open_ours(path, flags);
  return fd == -2 ? real::open(path, flags, mode) : fd;
}

int open_any_at(int folder, const char* path, int flags, mode_t mode) {
  const int fd = path && path[0] == '/' ? open_ours(path, flags) : -2;
  return fd == -2 ? real::openat(folder, path, flags, mode) : fd;
}

mode_t mode_of(int flags, va_list arguments) {
  return flags & (O_CREAT | __O_TMPFILE) ? va_arg(arguments, mode_t) : 0;
}

int fcntl_any(int fd, int command, long argument) {
  const int result = real::fcntl(fd, command, argument);
  if (result < 0) return result;
  if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) copied(fd, result);
  if (command != F_GETFL) return result;
  const auto file = file_of(fd);
  return file ? (result & ~O_ACCMODE) | file->access() : result;
}

void* mmap_any(void* address, size_t length, int protection, int flags, int fd, off_t offset) {
  if (flags & MAP_FIXED) release_mappings(address, length);
  const auto session = flags & MAP_ANONYMOUS ? nullptr : session_of(fd);
  if (session) return map_buffer(session, address, length, protection, flags, offset);
  const Object* object = flags & MAP_ANONYMOUS ? nullptr : find_object(fd);
  const auto exporter = object ? object->session.lock() : nullptr;
  if (exporter) return map_buffer(exporter, address, length, protection, flags, object->offset + offset);
  return real::mmap(address, length, protection, flags, fd, offset);
}

// The child of a fork has the parent's descriptors, but must not use the parent's connection.
void after_fork_in_child() {
  abandon_files();
  Device::abandon_all();
}

__attribute__((constructor)) void prepare() { pthread_atfork(nullptr, nullptr, after_fork_in_child); }

}  // namespace

#define OPEN(name)                                        \
  EXPORT int name(const char* path, int flags, ...) {     \
    va_list arguments;                                    \
    va_start(arguments, flags);                           \
    const mode_t mode = mode_of(flags, arguments);        \
    va_end(arguments);                                    \
    return open_any(path, flags, mode);                   \
  }
#define OPENAT(name)                                               \
  EXPORT int name(int folder, const char* path, int flags, ...) {  \
    va_list arguments;                                             \
    va_start(arguments, flags);                                    \
    const mode_t mode = mode_of(flags, arguments);                 \
    va_end(arguments);                                             \
    return open_any_at(folder, path, flags, mode);                 \
  }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
EXPORT int __open_2(const char* path, int flags) { return open_any(path, flags, 0); }
EXPORT int __open64_2(const char* path, int flags) { return open_any(path, flags, 0); }
EXPORT int __openat_2(int folder, const char* path, int flags) { return open_any_at(folder, path, flags, 0); }
EXPORT int __openat64_2(int folder, const char* path, int flags) { return open_any_at(folder, path, flags, 0); }

EXPORT int close(int fd) {
  forget_epoll(fd);
  const auto file = forget(fd);
  return real::close(fd);
}

EXPORT int dup(int fd) noexcept {
  const int copy = real::dup(fd);
  if (copy >= 0) copied(fd, copy);
  return copy;
}

EXPORT int dup2(int fd, int to) noexcept {
  const auto replaced = fd == to ? nullptr : forget(to);
  const int copy = real::dup2(fd, to);
  if (copy >= 0 && fd != to) copied(fd, copy);
  return copy;
}

EXPORT int dup3(int fd, int to, int flags) noexcept {
  const auto replaced = fd == to ? nullptr : forget(to);
  const int copy = real::dup3(fd, to, flags);
  if (copy >= 0) copied(fd, copy);
  return copy;
}

#define FCNTL(name)                                   \
  EXPORT int name(int fd, int command, ...) {         \
    va_list arguments;                                \
    va_start(arguments, command);                     \
    const long argument = va_arg(arguments, long);    \
    va_end(arguments);                                \
    return fcntl_any(fd, command, argument);          \
  }
FCNTL(fcntl)
FCNTL(fcntl64)

// Not noexcept: a thread that is cancelled while it waits in DQBUF unwinds through this function.
EXPORT int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  const auto file = file_of(fd);
  if (!file) return real::ioctl(fd, request, argument);
  const int result =
      file->ioctl(static_cast<unsigned>(request), argument, real::fcntl(fd, F_GETFL, 0) & O_NONBLOCK);
  return result < 0 ? fail(-result) : 0;
}

EXPORT void* mmap(void* address, size_t length, int protection, int flags, int fd, off_t offset) noexcept {
  return mmap_any(address, length, protection, flags, fd, offset);
}
EXPORT void* mmap64(void* address, size_t length, int protection, int flags, int fd, off64_t offset) noexcept {
  return mmap_any(address, length, protection, flags, fd, offset);
}
EXPORT int munmap(void* address, size_t length) noexcept {
  release_mappings(address, length);
  return real::munmap(address, length);
}

EXPORT int ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask) {
  return poll_files(fds, count, timeout, mask);
}
EXPORT int poll(pollfd* fds, nfds_t count, int milliseconds) {
  const timespec timeout = {milliseconds / 1000, milliseconds % 1000 * 1'000'000L};
  return poll_files(fds, count, milliseconds < 0 ? nullptr : &timeout, nullptr);
}
EXPORT int __poll_chk(pollfd* fds, nfds_t count, int milliseconds, size_t) { return poll(fds, count, milliseconds); }
EXPORT int __ppoll_chk(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t* mask, size_t) {
  return poll_files(fds, count, timeout, mask);
}

EXPORT int pselect(int count, fd_set* in, fd_set* out, fd_set* except, const timespec* timeout, const sigset_t* mask) {
  return select_files(count, in, out, except, timeout, mask);
}
// On Linux, select writes the remaining time to `timeout`.
EXPORT int select(int count, fd_set* in, fd_set* out, fd_set* except, timeval* timeout) {
  if (!timeout) return select_files(count, in, out, except, nullptr, nullptr);
  const timespec wanted = {timeout->tv_sec, timeout->tv_usec * 1000};
  Deadline deadline(&wanted);
  const int ready = select_files(count, in, out, except, &wanted, nullptr);
  const timespec* left = deadline.left();
  *timeout = {left->tv_sec, left->tv_nsec / 1000};
  return ready;
}

EXPORT int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  return file_of(fd) ? control_epoll(epoll, operation, fd, event) : real::epoll_ctl(epoll, operation, fd, event);
}
EXPORT int epoll_pwait(int epoll, epoll_event* events, int most, int milliseconds, const sigset_t* mask) {
  return is_watched(epoll) ? wait_epoll(epoll, events, most, milliseconds, mask)
                           : real::epoll_pwait(epoll, events, most, milliseconds, mask);
}
EXPORT int epoll_wait(int epoll, epoll_event* events, int most, int milliseconds) {
  return epoll_pwait(epoll, events, most, milliseconds, nullptr);
}

// No file of ours supports read or write: EINVAL, as v4l2-core, media devices and requests answer.
EXPORT ssize_t read(int fd, void* bytes, size_t count) {
  return file_of(fd) ? fail(EINVAL) : real::read(fd, bytes, count);
}
EXPORT ssize_t __read_chk(int fd, void* bytes, size_t count, size_t) { return read(fd, bytes, count); }
EXPORT ssize_t write(int fd, const void* bytes, size_t count) {
  return file_of(fd) ? fail(EINVAL) : real::write(fd, bytes, count);
}
