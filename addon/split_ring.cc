#include "split_ring.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

namespace vmb {

namespace {

/** VIRTIO 1.4, 2.7.6: struct virtq_avail in 16-bit words: flags, idx, ring[size], used_event. */
constexpr uint32_t kAvailableFlags = 0;
constexpr uint32_t kAvailableIndex = 1;
constexpr uint32_t kAvailableRing = 2;
/** VIRTIO 1.4, 2.7.8: struct virtq_used in 16-bit words: flags, idx, ring[size] of four words, avail_event. */
constexpr uint32_t kUsedFlags = 0;
constexpr uint32_t kUsedIndex = 1;
constexpr uint32_t kUsedRing = 2;
constexpr uint32_t kUsedWords = 4;
/** VIRTQ_AVAIL_F_NO_INTERRUPT: the driver wants no used buffer notifications. */
constexpr uint16_t kNoInterrupt = 1;
/** VIRTQ_USED_F_NO_NOTIFY: the device wants no available buffer notifications. */
constexpr uint16_t kNoNotify = 1;

uint16_t* Word(uint8_t* part, uint32_t word) { return reinterpret_cast<uint16_t*>(part) + word; }

}  // namespace

void SplitRing::Bind(Places places) {
  places_ = std::move(places);
  walk_.reset();
}

void SplitRing::Start(uint16_t base, uint16_t lost) {
  if (!lives()) return;
  used_index_ = std::atomic_ref(*Word(places_.used, kUsedIndex)).load();
  // cloud-hypervisor sends the driver's index as base: chains that were made available before the start would be
  // skipped. All popped chains, except abandoned ones, are pushed before the ring reports its base. So if `base` is
  // ahead of used idx plus abandoned chains, this sum is used instead.
  lost_ = lost;
  const auto next = static_cast<uint16_t>(used_index_ + lost);
  const auto skipped = static_cast<uint16_t>(base - next);
  next_available_ = skipped >= 1 && skipped <= options_.size ? next : base;
}

uint16_t SplitRing::LoadAvailable(uint32_t word) const {
  return std::atomic_ref(*Word(places_.available, word)).load();
}

void SplitRing::StoreUsed(uint32_t word, uint16_t value) {
  std::atomic_ref(*Word(places_.used, word)).store(value);
}

uint32_t SplitRing::Waiting() {
  if (!lives()) return 0;
  const uint16_t index = LoadAvailable(kAvailableIndex);
  const auto waiting = static_cast<uint16_t>(index - next_available_);
  // Available and outstanding chains need a descriptor each, and the ring has `size` descriptors.
  if (waiting + outstanding_ <= options_.size) {
    pool_ = std::max(pool_, popped_ + waiting - pushed_);
    return waiting;
  }
  why_broken_.Say("available index %u, expected %u", index, next_available_);
  return 0;
}

SplitRing::Found SplitRing::Walk(uint64_t& limit) {
  if (!lives()) return Found::kNothing;
  if (!walk_) {
    if (Waiting() == 0) return Found::kNothing;
    const uint16_t head = LoadAvailable(kAvailableRing + (next_available_ & (options_.size - 1)));
    walk_.emplace(head, options_.size, options_.indirect, options_.limits);
  }
  switch (walk_->Advance(*table(), places_.descriptors, limit)) {
    case ChainWalk::Step::kMore:
      return Found::kMore;
    case ChainWalk::Step::kDone:
      return Found::kChain;
    default:
      return Found::kMalformed;
  }
}

void SplitRing::Advance() {
  popped_++;
  next_available_++;
  walk_.reset();
}

Chain SplitRing::Take() {
  Chain chain = walk_->Take();
  Advance();
  outstanding_++;
  return chain;
}

void SplitRing::Refuse() {
  const uint16_t head = walk_->chain().head;
  Advance();
  Give(head, 0);
}

void SplitRing::Push(const Chain& chain, uint32_t written) {
  if (stopped_ || places_.used == nullptr) return;
  outstanding_--;
  Give(chain.head, written);
}

void SplitRing::Abandon() {
  if (stopped_) return;
  outstanding_--;
  lost_++;
}

/** First the element, then the index that makes it visible. */
void SplitRing::Give(uint16_t head, uint32_t written) {
  const uint32_t element[] = {head, written};
  const uint32_t at = kUsedRing + kUsedWords * (used_index_ & (options_.size - 1));
  std::memcpy(Word(places_.used, at), element, sizeof element);
  used_index_++;
  StoreUsed(kUsedIndex, used_index_);
  pushed_++;
}

bool SplitRing::TakeNotification() {
  if (stopped_ || places_.used == nullptr || pushed_ == announced_) return false;
  const uint64_t count = pushed_ - std::exchange(announced_, pushed_);
  if (!options_.event_idx) return (LoadAvailable(kAvailableFlags) & kNoInterrupt) == 0;
  if (count > 0xffff) return true;
  // The load comes after the store of the used idx: both are sequentially consistent.
  const uint16_t used_event = LoadAvailable(kAvailableRing + options_.size);
  return static_cast<uint16_t>(used_index_ - used_event - 1) < count;
}

int64_t SplitRing::Free() { return int64_t{Waiting()} - promised_ - claimed_; }

bool SplitRing::Promise() {
  if (blocked_ || Free() <= 0) return false;
  promised_++;
  return true;
}

bool SplitRing::Claim() {
  if (Free() <= 0) return false;
  claimed_++;
  return true;
}

bool SplitRing::EnableKicks() {
  if (!lives()) return false;
  // The store and the loads after it are sequentially consistent. This is the fence of VIRTIO 1.4, 2.7.10.
  if (options_.event_idx)
    StoreUsed(kUsedRing + kUsedWords * options_.size, LoadAvailable(kAvailableIndex));
  else
    StoreUsed(kUsedFlags, 0);
  const uint64_t seen = std::exchange(seen_, popped_ + Waiting());
  return seen_ != seen && !broken();
}

/** VIRTIO 1.4, 2.7.10. With VIRTIO_F_EVENT_IDX there is no bit for it: an index that has passed is as good. */
void SplitRing::DisableKicks() {
  if (!lives()) return;
  if (options_.event_idx)
    StoreUsed(kUsedRing + kUsedWords * options_.size, static_cast<uint16_t>(LoadAvailable(kAvailableIndex) - 1));
  else
    StoreUsed(kUsedFlags, kNoNotify);
}

void SplitRing::Stop() {
  stopped_ = true;
  outstanding_ = 0;
  walk_.reset();
  places_ = {};
}

}  // namespace vmb
