#include "ring_threads.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "thread.h"

namespace vmb {

namespace {

/** Virtio-media, "Virtqueues": struct virtio_media_cmd_ioctl and struct virtio_media_resp_header. */
struct CommandHeader {
  uint32_t command;
  uint32_t reserved;
  uint32_t session;
  uint32_t code;
};
struct ResponseHeader {
  uint32_t status;
  uint32_t reserved = 0;
};
constexpr uint32_t kIoctlCommand = 3;

/** Ioctl numbers. */
constexpr uint32_t kNumbers = 256;
/** A chain with more is the loop's, which has a budget for it. */
constexpr uint64_t kMaxDescriptors = 16;
/** Threads that wait while nothing runs: one leads next, and one follows it. */
constexpr uint32_t kIdleThreads = 2;

enum Source : uint64_t { kStop, kMore, kTimer, kKick };

/** Milliseconds of the clock that performance.now() has as well. */
int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

int Control(int epoll, int operation, int fd, uint32_t events, uint64_t source) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = source;
  return epoll_ctl(epoll, operation, fd, &event) == 0 ? 0 : errno;
}

void Signal(const UniqueFd& fd) {
  const uint64_t one = 1;
  (void)!write(fd.get(), &one, sizeof one);
}

void StartTimer(const UniqueFd& timer, int64_t milliseconds) {
  itimerspec at{};
  at.it_value.tv_sec = milliseconds / 1000;
  at.it_value.tv_nsec = milliseconds % 1000 * 1'000'000 + 1;
  timerfd_settime(timer.get(), 0, &at, nullptr);
}

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
  // Kicks that came before this call are an edge as well.
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
  for (;;) {
    epoll_event event{};
    const int count = epoll_wait(epoll_.get(), &event, 1, -1);
    if (count == 1 && event.data.u64 == kStop) break;
    if (count == 1 && event.data.u64 == kTimer) Expire();
    Lead();
    const std::lock_guard lock(ring_->mutex);
    if (waiting_ > kIdleThreads) break;
  }
  const std::lock_guard lock(ring_->mutex);
  threads_--;
  waiting_--;
}

void RingThreads::Lead() {
  std::unique_lock lock(ring_->mutex);
  waiting_--;
  while (lent_ && !ring_->stopped()) {
    uint64_t limit = kMaxDescriptors;
    const SplitRing::Found found = ring_->Walk(limit);
    if (found == SplitRing::Found::kNothing && !ring_->broken()) {
      if (!ring_->EnableKicks() && !ring_->broken()) break;
    } else if (found == SplitRing::Found::kChain && waiting_ == 0) {
      // Somebody has to wait for the next kick and for the deadline. Then the ring is looked at anew.
      if (!Follow(lock)) ToLoop();
    } else if (found != SplitRing::Found::kChain || !RunNext(lock)) {
      ToLoop();
    }
  }
  waiting_++;
}

/** The ring is the loop's. */
void RingThreads::ToLoop() {
  lent_ = false;
  wake_->Send();
}

/** Starts a thread that waits. False: there is none. */
bool RingThreads::Follow(std::unique_lock<std::mutex>& lock) {
  if (threads_ >= limits_.threads) return false;
  threads_++;
  waiting_++;
  lock.unlock();
  const int error = StartOne();
  lock.lock();
  return error == 0;
}

/** Runs the chain that was walked. False: it is the loop's, and still in the ring. */
bool RingThreads::RunNext(std::unique_lock<std::mutex>& lock) {
  std::vector<uint8_t> request;
  uint32_t number = 0;
  const std::shared_ptr<const FlatSession> session = Read(request, number);
  if (session == nullptr || session->kinds[number] == FlatKind::kNone) return false;
  SessionGate& gate = session->lane->gate();
  if (!gate.Use()) {
    // The watcher may have it for some microseconds. Then the ring is looked at anew.
    lock.unlock();
    const bool is_free = gate.Await();
    lock.lock();
    return is_free;
  }
  Running& running = running_.emplace_back();
  const auto body = std::span(request).subspan(sizeof(CommandHeader));
  if (!running.command.Parse(number, session->kinds[number], body, session->lane->node())) {
    running_.pop_back();
    const SessionGate::Left left = gate.Done(false);
    lock.unlock();
    session->lane->Leave(left);
    lock.lock();
    return false;
  }
  running.session = session->id;
  running.since = Now();
  running.chain = ring_->Take();
  Run(running, *session, request, lock);
  return true;
}

/** Copies the command that was walked. Null: it is no ioctl of a session in the table. */
std::shared_ptr<const FlatSession> RingThreads::Read(std::vector<uint8_t>& request, uint32_t& number) {
  const Chain& chain = ring_->walk().chain();
  CommandHeader header;
  if (chain.readable_bytes < sizeof header || chain.readable_bytes > FlatCommand::kMaxBytes) return nullptr;
  request.resize(chain.readable_bytes);
  if (!chain.CopyOut(*ring_->table(), request)) return nullptr;
  std::memcpy(&header, request.data(), sizeof header);
  number = header.code;
  if (header.command != kIoctlCommand || number >= kNumbers) return nullptr;
  return table_->Find(header.session);
}

void RingThreads::Run(Running& running, const FlatSession& session, std::span<const uint8_t> request,
                      std::unique_lock<std::mutex>& lock) {
  // Before the ioctl: the kick of the next chain must come, although this thread is away.
  ring_->EnableKicks();
  const bool more = ring_->Waiting() > 0;
  const bool timer = !std::exchange(timer_runs_, true);
  lock.unlock();
  if (more) Signal(more_);
  if (timer) StartTimer(timer_, limits_.deadline);
  const int error = running.command.Run(session.lane->node());
  lock.lock();
  const bool late = running.answered;
  Finish(running, session, request, error);
  // With the lock: who pops the guest's next command finds the session idle.
  const SessionGate::Left left = session.lane->gate().Done(late);
  running_.remove_if([&](const Running& each) { return &each == &running; });
  const std::shared_ptr<Doorbell> call = ring_->TakeCall();
  const bool told = !notices_.empty();
  lock.unlock();
  if (call != nullptr) call->Ring();
  // After a late result the loop learns with the notice that it has the session.
  session.lane->Leave(left);
  if (told) wake_->Send();
  lock.lock();
}

/** The ioctl has ended. */
void RingThreads::Finish(Running& running, const FlatSession& session, std::span<const uint8_t> request,
                         int error) {
  if (error == ENODEV || error == EBUSY) notices_.push_back({What::kFailed, session.id, error, {}, {}});
  const auto payload = running.command.Answer(error);
  if (!running.answered) return Answer(running, error, payload);
  Notice notice{What::kLate, session.id, error, {request.begin(), request.end()}, {}};
  for (const auto& part : payload) notice.payload.insert(notice.payload.end(), part.begin(), part.end());
  notices_.push_back(std::move(notice));
}

/** Looks at the age first: after a stop of the process, the driver may have given up already. */
void RingThreads::Answer(Running& running, int error, const std::array<std::span<const uint8_t>, 2>& payload) {
  running.answered = true;
  const int64_t age = Now() - running.since;
  if (age >= limits_.guest_timeout) return ring_->Abandon();
  const ResponseHeader header{static_cast<uint32_t>(error)};
  const std::span<const uint8_t> parts[] = {
      {reinterpret_cast<const uint8_t*>(&header), sizeof header}, payload[0], payload[1]};
  const uint64_t written = age < limits_.last_write ? running.chain.Reply(*ring_->table(), parts) : 0;
  ring_->Push(running.chain, static_cast<uint32_t>(written));
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
