#include "driver.h"

#include <cerrno>
#include <cstring>
#include <ctime>

#include "settings.h"

namespace preload {
namespace {

constexpr unsigned kEventBuffers = 16;
// Pages for the records of a command: extended controls may have 1 MiB.
constexpr size_t kCommandPages = 512;
constexpr size_t kEventPages = 4;
constexpr long kTimeoutMs = 5000;
// Reserved words are not 0: they contain what was in the memory before.
constexpr uint32_t kReservedWord = 0x5a5a'5a5a;

long now_ms() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

template <typename Record>
Part to_device(Record& record) {
  return {&record, sizeof record, Part::kToDevice};
}
template <typename Record>
Part from_device(Record& record) {
  return {&record, sizeof record, Part::kFromDevice};
}

int judge(int written, uint32_t status, Judgement judgement) {
  const auto bytes = static_cast<size_t>(written);
  if (bytes < sizeof(wire::ResponseHeader)) return -EINVAL;
  if (bytes < (status ? judgement.least_on_error : judgement.least)) return -EINVAL;
  return -static_cast<int>(status);
}

}  // namespace

bool Driver::probe() {
  const uint64_t features = front_end_.ring_features();
  commandq_ = std::make_unique<Virtqueue>(ram_, 0, front_end_.queue_size(), features);
  eventq_ = std::make_unique<Virtqueue>(ram_, 1, front_end_.queue_size(), features);
  memory_ = std::make_unique<KernelMemory>(ram_, kCommandPages);
  event_memory_ = std::make_unique<KernelMemory>(ram_, kEventPages);
  if (!commandq_->usable() || !eventq_->usable() || !memory_->usable() || !event_memory_->usable()) return false;
  for (unsigned i = 0; i < kEventBuffers; i++) {
    uint8_t* buffer = event_memory_->take(sizeof(wire::Event));
    std::vector<Piece> pieces;
    event_memory_->pieces(buffer, sizeof(wire::Event), true, pieces);
    // One descriptor for each buffer, so a buffer must not cross a page border.
    if (pieces.size() > 1) {
      i--;
      continue;
    }
    const int head = eventq_->add(pieces);
    if (head < 0) return false;
    event_buffers_.resize(eventq_->size());
    event_buffers_[static_cast<size_t>(head)] = buffer;
    eventq_->kick();
  }
  Virtqueue* const queues[] = {commandq_.get(), eventq_.get()};
  return front_end_.start(queues);
}

int Driver::open(uint32_t* session) {
  wire::CommandHeader command = {wire::kOpen, 0};
  wire::OpenResponse response = {};
  const Part parts[] = {to_device(command), from_device(response)};
  const int written = run(parts);
  trace("OPEN -> %d, status %u, session %u", written, response.status, response.session);
  if (written < 0) return written;
  *session = response.session;
  return judge(written, response.status, {sizeof response, 0});
}

void Driver::close(uint32_t session, uint32_t stale) {
  // The reserved word contains what the session's last command left there.
  wire::CloseCommand command = {wire::kClose, 0, session, stale};
  const Part parts[] = {to_device(command)};
  const int written = run(parts);
  trace("session %u CLOSE -> %d", session, written);
}

int Driver::ioctl(uint32_t session, uint32_t code, std::span<const Part> parts, Judgement judgement) {
  wire::IoctlCommand command = {wire::kIoctl, 0, session, code};
  wire::ResponseHeader response = {};
  std::vector<Part> all = {to_device(command), from_device(response)};
  all.insert(all.end(), parts.begin(), parts.end());
  const int written = run(all);
  trace("session %u IOCTL %u -> %d, status %u", session, code, written, response.status);
  return written < 0 ? written : judge(written, response.status, judgement);
}

int Driver::mmap(uint32_t session, uint32_t offset, bool writable, uint64_t* address, uint64_t* length) {
  wire::MmapCommand command = {wire::kMmap, 0, session, writable ? wire::kMmapWritable : 0, offset};
  wire::MmapResponse response = {};
  const Part parts[] = {to_device(command), from_device(response)};
  const int written = run(parts);
  trace("session %u MMAP %#x -> %d, status %u, %#llx + %#llx", session, offset, written, response.status,
        static_cast<unsigned long long>(response.address), static_cast<unsigned long long>(response.length));
  if (written < 0) return written;
  *address = response.address;
  *length = response.length;
  return judge(written, response.status, {sizeof response, 0});
}

int Driver::munmap(uint64_t address) {
  wire::MunmapCommand command = {wire::kMunmap, 0, address};
  wire::ResponseHeader response = {};
  const Part parts[] = {to_device(command), from_device(response)};
  const int written = run(parts);
  trace("MUNMAP %#llx -> %d, status %u", static_cast<unsigned long long>(address), written, response.status);
  return written < 0 ? written : judge(written, response.status, {sizeof response, 0});
}

int Driver::run(std::span<const Part> parts) {
  std::lock_guard lock(mutex_);
  if (abandoned_) return -ENODEV;
  memory_->reset();
  std::vector<uint8_t*> places;
  for (const Part& part : parts) {
    uint8_t* place = memory_->take(part.size);
    if (!place) return -ENOMEM;
    if (part.direction != Part::kFromDevice) memcpy(place, part.data, part.size);
    places.push_back(place);
  }
  const int written = submit(parts, places);
  if (written < 0) return written;
  for (size_t i = 0; i < parts.size(); i++)
    if (parts[i].direction != Part::kToDevice) memcpy(parts[i].data, places[i], parts[i].size);
  return written;
}

int Driver::submit(std::span<const Part> parts, std::span<uint8_t* const> places) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < parts.size(); i++) {
    if (parts[i].direction & Part::kToDevice) memory_->pieces(places[i], parts[i].size, false, pieces);
    if (parts[i].direction == Part::kPointed && !list(places[i], parts[i].size, pieces)) return -ENOMEM;
  }
  for (size_t i = 0; i < parts.size(); i++)
    if (parts[i].direction & Part::kFromDevice) memory_->pieces(places[i], parts[i].size, true, pieces);
  const int head = commandq_->add(pieces);
  if (head < 0) return head;
  commandq_->kick();
  return wait(head);
}

bool Driver::list(const uint8_t* place, size_t bytes, std::vector<Piece>& chain) {
  std::vector<Piece> pieces;
  memory_->pieces(place, bytes, true, pieces);
  const size_t size = sizeof(wire::SgEntry) * pieces.size();
  uint8_t* list = memory_->take(size);
  if (!list) return false;
  for (size_t i = 0; i < pieces.size(); i++) {
    const wire::SgEntry entry = {pieces[i].address, pieces[i].length, kReservedWord};
    memcpy(list + sizeof entry * i, &entry, sizeof entry);
  }
  memory_->pieces(list, size, false, chain);
  return true;
}

int Driver::wait(int head) {
  const long deadline = now_ms() + kTimeoutMs;
  for (;;) {
    while (const auto used = commandq_->take())
      if (used->id == static_cast<uint32_t>(head)) return static_cast<int>(used->length);
    const long left = deadline - now_ms();
    if (left <= 0) break;
    pollfd call = {commandq_->call_fd(), POLLIN, 0};
    if (real::poll(&call, 1, static_cast<int>(left)) > 0) commandq_->acknowledge();
    if (abandoned_) return -ENODEV;
  }
  complain("a command was not answered within 5 s");
  // The device may write to the chain at any time, so its memory is never used again.
  (void)memory_.release();
  memory_ = std::make_unique<KernelMemory>(ram_, kCommandPages);
  return -ETIMEDOUT;
}

void Driver::process_events() {
  std::lock_guard lock(events_mutex_);
  eventq_->acknowledge();
  while (const auto used = eventq_->take()) {
    if (used->id >= event_buffers_.size() || !event_buffers_[used->id]) {
      complain("the device gave back an event buffer that it did not have: %u", used->id);
      continue;
    }
    uint8_t* buffer = std::exchange(event_buffers_[used->id], nullptr);
    wire::Event event;
    memcpy(&event, buffer, sizeof event);
    handler_(event, used->length);
    std::vector<Piece> pieces;
    event_memory_->pieces(buffer, sizeof(wire::Event), true, pieces);
    const int head = eventq_->add(pieces);
    if (head >= 0) event_buffers_[static_cast<size_t>(head)] = buffer;
    eventq_->kick();
  }
}

}  // namespace preload
