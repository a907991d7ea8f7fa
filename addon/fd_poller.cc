#include "fd_poller.h"

#include <errno.h>
#include <sys/epoll.h>

#include "arguments.h"
#include "callback.h"
#include "failure.h"

namespace vmb {

namespace {
// PollEvents of native.ts has the bit values of epoll.
constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT;
}  // namespace

void FdPoller::Export(Napi::Env env, Napi::Object exports) {
  exports.Set("FdPoller", DefineClass(env, "FdPoller",
                                      {InstanceMethod("watch", &FdPoller::Watch),
                                       InstanceMethod("close", &FdPoller::Close)}));
}

FdPoller::FdPoller(const Napi::CallbackInfo& info) : Napi::ObjectWrap<FdPoller>(info) {
  Arguments arguments(info, "FdPoller");
  const int fd = arguments.Descriptor(0);
  const Napi::Function callback = arguments.Function(1);
  if (!arguments.ok()) return;
  if (const int error = Start(info.Env(), fd)) {
    ThrowErrno(info.Env(), "epoll_ctl", "", error);
    return;
  }
  callback_ = Napi::Persistent(callback);
  Ref();
}

int FdPoller::Start(Napi::Env env, int fd) {
  fd_ = fd;
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_) return errno;
  epoll_event none{};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &none) != 0) return errno;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr) != 0) return errno;
  const auto start = [this](uv_loop_t* loop, uv_poll_t* poll) {
    return uv_poll_init(loop, poll, epoll_.get());
  };
  const auto ended = [](void* self) { static_cast<FdPoller*>(self)->Shut(); };
  if (const int error = poll_.Open(env, this, ended, start)) return error;
  const auto readable = [](uv_poll_t* poll, int, int) { static_cast<FdPoller*>(poll->data)->OnReadable(); };
  return -uv_poll_start(poll_.get(), UV_READABLE, readable);
}

/** If `events` is 0, the descriptor is removed from the epoll, because EPOLLHUP cannot be masked. Returns an
 * errno. */
int FdPoller::SetEvents(uint32_t events) {
  if (events == events_) return 0;
  const int operation = events == 0 ? EPOLL_CTL_DEL : events_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  epoll_event event{};
  event.events = events;
  if (epoll_ctl(epoll_.get(), operation, fd_, &event) != 0) return errno;
  events_ = events;
  return 0;
}

void FdPoller::Watch(const Napi::CallbackInfo& info) {
  Arguments arguments(info, "watch");
  const uint64_t events = arguments.Integer(0);
  if (arguments.ok() && (events & ~uint64_t{kEvents}) != 0) arguments.Refuse(0, "bits of PollEvents");
  if (!arguments.ok() || !epoll_) return;
  if (const int error = SetEvents(static_cast<uint32_t>(events))) {
    ThrowErrno(info.Env(), "epoll_ctl", "", error);
  }
}

/** What is ready of the events that are waited for. The end of the stream and errors are reported as readiness of all:
 * the owner sees them in its next call. Only if there are two events, the epoll is asked which it is. */
uint32_t FdPoller::Ready() const {
  if (events_ != kEvents) return events_;
  epoll_event event{};
  if (epoll_wait(epoll_.get(), &event, 1, 0) != 1) return 0;
  return (event.events & (EPOLLERR | EPOLLHUP)) != 0 ? events_ : event.events & events_;
}

void FdPoller::OnReadable() {
  const uint32_t ready = Ready();
  if (ready == 0) return;
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  CallFromLoop(env, callback_.Value(), {Napi::Number::New(env, ready)});
}

void FdPoller::Close(const Napi::CallbackInfo&) { Shut(); }

void FdPoller::Shut() {
  if (!epoll_) return;
  poll_.Close();
  epoll_.Reset();
  if (callback_.IsEmpty()) return;
  callback_.Reset();
  Unref();
}

}  // namespace vmb
