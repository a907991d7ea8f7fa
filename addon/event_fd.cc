#include "event_fd.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "arguments.h"
#include "failure.h"

namespace vmb {

namespace {

bool IsReady(int fd, short events) {
  pollfd entry = {fd, events, 0};
  return poll(&entry, 1, 0) == 1 && (entry.revents & events) != 0;
}

Napi::Value EventFd(const Napi::CallbackInfo& info) {
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return ThrowErrno(info.Env(), "eventfd", "", errno);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value IsEventFd(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "isEventFd");
  const int fd = arguments.Descriptor(0);
  if (!arguments.ok()) return info.Env().Undefined();
  char link[32];
  char target[32];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, target, sizeof target);
  const bool is_event_fd =
      length > 0 && std::string_view(target, static_cast<size_t>(length)) == "anon_inode:[eventfd]";
  return Napi::Boolean::New(info.Env(), is_event_fd);
}

/** read(2) that never waits. It does not rely on O_NONBLOCK: that flag belongs to the open file, which the
 * peer shares and may change. */
ssize_t ReadNow(int fd, uint64_t& count) {
  iovec vector = {&count, sizeof count};
  const ssize_t length = preadv2(fd, &vector, 1, -1, RWF_NOWAIT);
  if (length >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) return length;
  if (IsReady(fd, POLLIN)) return read(fd, &count, sizeof count);
  errno = EAGAIN;
  return -1;
}

Napi::Value Drain(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "drain");
  const int fd = arguments.Descriptor(0);
  if (!arguments.ok()) return info.Env().Undefined();
  uint64_t count = 0;
  const ssize_t length = ReadNow(fd, count);
  if (length < 0 && errno != EAGAIN) return Napi::Number::New(info.Env(), -errno);
  return Napi::Number::New(info.Env(), length == sizeof count ? static_cast<double>(count) : 0);
}

Napi::Value Signal(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "signal");
  const int fd = arguments.Descriptor(0);
  if (!arguments.ok()) return info.Env().Undefined();
  const uint64_t one = 1;
  int error = 0;
  // If the eventfd is not writable, its counter is saturated: the peer has been signalled, and write(2) could
  // wait.
  if (fd < 0) error = EBADF;
  pollfd entry = {fd, POLLOUT, 0};
  if (error == 0 && poll(&entry, 1, 0) == 1) {
    if (entry.revents & POLLNVAL) error = EBADF;
    if ((entry.revents & POLLOUT) && write(fd, &one, sizeof one) < 0 && errno != EAGAIN) error = errno;
  }
  return Napi::Number::New(info.Env(), error);
}

}  // namespace

void ExportEventFd(Napi::Env env, Napi::Object exports) {
  exports.Set("eventFd", Napi::Function::New<EventFd>(env, "eventFd"));
  exports.Set("isEventFd", Napi::Function::New<IsEventFd>(env, "isEventFd"));
  exports.Set("drain", Napi::Function::New<Drain>(env, "drain"));
  exports.Set("signal", Napi::Function::New<Signal>(env, "signal"));
}

}  // namespace vmb
