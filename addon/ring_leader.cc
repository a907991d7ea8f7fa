#include <errno.h>

#include <array>
#include <cstring>
#include <utility>

#include "ring_threads.h"
#include "wakeup.h"

// What the leading thread does: it takes chains and runs their commands.

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

}  // namespace

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
  if (!running.command.Parse(number, session->kinds[number], table_->rule(number), body, session->lane->node())) {
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

}  // namespace vmb
