#include "ring_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "epoll_control.h"
#include "thread.h"
#include "wakeup.h"

namespace vmb {

namespace {

/** Threads that wait while nothing runs: one leads next, and one follows it. */
constexpr uint32_t kIdleThreads = 2;
/** Milliseconds that a further thread waits before it ends: to start one costs more than a command. */
constexpr int kSpareMs = 1000;

enum Source : uint64_t { kStop, kMore, kTimer, kKick };

}  // namespace

int RingThreads::Open(int kick) {
  epoll_.Reset(epoll_create1(EPOLL_CLOEXEC));
  stop_.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  more_.Reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  timer_.Reset(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!epoll_ || !stop_ || !more_ || !timer_) return errno;
  if (const int error = Control(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), EPOLLIN, kStop)) return error;
  if (const int error = Control(epoll_.get(), EPOLL_CTL_ADD, more_.get(), EPOLLIN | EPOLLET, kMore)) return error;
  if (const int error = Control(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), EPOLLIN | EPOLLET, kTimer)) return error;
  return SetKick(kick);
}

/** Edge-triggered: each kick is an edge, so no thread has to read it. */
int RingThreads::Watch(int operation, uint32_t events) {
  return Control(epoll_.get(), operation, kick_.get(), events, kKick);
}

int RingThreads::SetKick(int kick) {
  if (kick_) Watch(EPOLL_CTL_DEL, 0);
  kick_.Reset(fcntl(kick, F_DUPFD_CLOEXEC, 0));
  if (!kick_) return errno;
  // A kick may be pending on the old descriptor. It must not be lost.
  Signal(more_);
  return Watch(EPOLL_CTL_ADD, is_lent() ? EPOLLIN | EPOLLET : EPOLLET);
}

bool RingThreads::is_lent() const {
  const std::lock_guard lock(ring_->mutex);
  return lent_;
}

bool RingThreads::is_busy() const {
  const std::lock_guard lock(ring_->mutex);
  return !running_.empty() || !notices_.empty();
}

int RingThreads::Lend() {
  {
    const std::lock_guard lock(ring_->mutex);
    if (stopping_ || lent_) return 0;
    lent_ = true;
  }
  while (true) {
    {
      const std::lock_guard lock(ring_->mutex);
      if (waiting_ >= kIdleThreads || threads_ >= limits_.threads) break;
      threads_++;
      waiting_++;
    }
    if (const int error = StartOne()) {
      Reclaim();
      return error;
    }
  }
  // A thread looks at the ring once: chains may wait whose kick the loop has taken.
  Signal(more_);
  return Watch(EPOLL_CTL_MOD, EPOLLIN | EPOLLET);
}

void RingThreads::Reclaim() {
  {
    const std::lock_guard lock(ring_->mutex);
    lent_ = false;
  }
  if (kick_) Watch(EPOLL_CTL_MOD, EPOLLET);
}

/** The caller has counted the thread, which waits for the kick. */
int RingThreads::StartOne() {
  auto self = std::make_unique<std::shared_ptr<RingThreads>>(shared_from_this());
  const int error = StartThread(Main, self.get(), nullptr);
  if (error == 0) {
    self.release();
    return 0;
  }
  const std::lock_guard lock(ring_->mutex);
  threads_--;
  waiting_--;
  return error;
}

void* RingThreads::Main(void* argument) {
  const std::unique_ptr<std::shared_ptr<RingThreads>> self(static_cast<std::shared_ptr<RingThreads>*>(argument));
  pthread_setname_np(pthread_self(), "vmb-ring");
  AdmitBusErrors();
  (*self)->Work();
  return nullptr;
}

void RingThreads::Work() {
  bool spare = false;
  for (bool ends = false; !ends;) {
    epoll_event event{};
    const int count = epoll_wait(epoll_.get(), &event, 1, spare ? kSpareMs : -1);
    const bool stop = count == 1 && event.data.u64 == kStop;
    if (count == 1 && event.data.u64 == kTimer) Expire();
    if (count != 0 && !stop) Lead();
    const std::lock_guard lock(ring_->mutex);
    ends = stop || (spare && count == 0 && waiting_ > kIdleThreads);
    spare = waiting_ > kIdleThreads;
    if (!ends) continue;
    threads_--;
    waiting_--;
  }
}

void RingThreads::Expire() {
  std::unique_lock lock(ring_->mutex);
  const int64_t now = Now();
  bool expired = false;
  std::optional<int64_t> next;
  for (Running& each : running_) {
    const int64_t left = each.since + limits_.deadline - now;
    if (each.answered) continue;
    if (left > 0) {
      next = std::min(next.value_or(left), left);
      continue;
    }
    Answer(each, ETIMEDOUT, each.command.Refusal());
    notices_.push_back({What::kExpired, each.session, ETIMEDOUT, {}, {}});
    expired = true;
  }
  timer_runs_ = next.has_value();
  const std::shared_ptr<Doorbell> call = ring_->TakeCall();
  lock.unlock();
  if (next) StartTimer(timer_, *next);
  if (call != nullptr) call->Ring();
  if (expired) wake_->Send();
}

void RingThreads::Interrupt(int error) {
  const std::lock_guard lock(ring_->mutex);
  for (Running& each : running_)
    if (!each.answered) Answer(each, error, each.command.Refusal());
}

std::optional<RingThreads::Notice> RingThreads::TakeNotice() {
  const std::lock_guard lock(ring_->mutex);
  if (notices_.empty()) return std::nullopt;
  Notice notice = std::move(notices_.front());
  notices_.pop_front();
  return notice;
}

void RingThreads::Stop() {
  {
    const std::lock_guard lock(ring_->mutex);
    stopping_ = true;
    lent_ = false;
  }
  // It is never read, so it wakes every thread.
  if (stop_) Signal(stop_);
}

}  // namespace vmb
