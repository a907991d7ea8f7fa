#include "chain_walk.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vmb {

/** VIRTIO 1.4, 2.7.5: struct virtq_desc. */
struct ChainWalk::Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};

namespace {

/** VIRTIO 1.4, 2.7.5: VIRTQ_DESC_F_*. */
constexpr uint16_t kNext = 1;
constexpr uint16_t kWrite = 2;
constexpr uint16_t kIndirect = 4;

constexpr uint64_t kDescriptorSize = 16;
/** The most bytes of one piece that are copied between two looks at the budget. */
constexpr uint64_t kCopyStep = 0x10000;

}  // namespace

ChainWalk::ChainWalk(uint16_t head, uint32_t entries, bool may_point, const Limits& limits)
    : limits_(limits), may_point_(may_point), entries_(entries), index_(head), left_(entries) {
  chain_.head = head;
}

ChainWalk::Step ChainWalk::Advance(const GuestTable& memory, const uint8_t* table, uint64_t& limit) {
  static_assert(sizeof(Descriptor) == kDescriptorSize);
  if (!why_.empty()) return Step::kMalformed;
  while (!read_) {
    if (limit == 0) return Step::kMore;
    limit--;
    const std::optional<bool> next = ReadOne(memory, table);
    if (!next) return Step::kMalformed;
    read_ = !*next;
  }
  return Step::kDone;
}

std::optional<bool> ChainWalk::ReadOne(const GuestTable& memory, const uint8_t* table) {
  if (left_-- == 0) return Malformed("a loop of descriptors");
  if (index_ >= entries_)
    return Malformed("descriptor %u of %u", index_, entries_);
  // One copy of each descriptor, because the driver may change it at any time.
  uint8_t bytes[kDescriptorSize];
  const uint64_t at = index_ * kDescriptorSize;
  if (!indirect_) {
    std::memcpy(bytes, table + at, sizeof bytes);
  } else if (!memory.CopyOut(*indirect_ + at, bytes)) {
    return Outside(*indirect_ + at, sizeof bytes);
  }
  Descriptor descriptor;
  std::memcpy(&descriptor, bytes, sizeof descriptor);
  index_ = descriptor.next;
  if (descriptor.flags & kIndirect) return Enter(memory, descriptor);
  if (!Add(memory, descriptor)) return std::nullopt;
  return (descriptor.flags & kNext) != 0;
}

/** VIRTIO 1.4, 2.7.5.3: the descriptor's buffer is a table of descriptors. WRITE has no meaning here. */
std::optional<bool> ChainWalk::Enter(const GuestTable& memory, const Descriptor& descriptor) {
  const uint64_t length = descriptor.length;
  if (!may_point_ || indirect_) return Malformed("an indirect descriptor where none is allowed");
  if (descriptor.flags & kNext) return Malformed("an indirect descriptor with a next one");
  if (length == 0 || length % kDescriptorSize != 0 || length > limits_.indirect * kDescriptorSize)
    return Malformed("an indirect table of %u bytes", descriptor.length);
  if (!memory.Contains(descriptor.address, length)) return Outside(descriptor.address, length);
  indirect_ = descriptor.address;
  entries_ = left_ = static_cast<uint32_t>(length / kDescriptorSize);
  index_ = 0;
  return true;
}

/** A buffer of length 0 is tolerated, and its address has no meaning. */
bool ChainWalk::Add(const GuestTable& memory, const Descriptor& descriptor) {
  const auto [address, length, flags, next] = descriptor;
  const bool write = (flags & kWrite) != 0;
  // VIRTIO 1.4, 2.7.4.2: all device-readable buffers come before the device-writable ones.
  if (!write && !chain_.writable.empty()) Malformed("a readable descriptor after a writable one");
  if (why_.empty() && length > 0) {
    bytes_ += length;
    (write ? chain_.writable_bytes : chain_.readable_bytes) += length;
    if (bytes_ > limits_.bytes) {
      Malformed("a chain of more than %llu GiB", static_cast<unsigned long long>(limits_.bytes >> 30));
    } else if (chain_.readable_bytes > limits_.readable_bytes) {
      Malformed("more than %llu readable bytes", static_cast<unsigned long long>(limits_.readable_bytes));
    } else if (!memory.Contains(address, length)) {
      Outside(address, length);
    } else {
      (write ? chain_.writable : chain_.readable).push_back({address, length});
    }
  }
  return why_.empty();
}

std::nullopt_t ChainWalk::Outside(uint64_t address, uint64_t length) {
  return Malformed("%llu bytes at 0x%llx are not in guest memory", static_cast<unsigned long long>(length),
                   static_cast<unsigned long long>(address));
}

bool ChainWalk::Copy(const GuestTable& memory, std::span<uint8_t> into, int64_t piece_price, int64_t& budget) {
  if (!is_read()) return false;
  const uint64_t total = std::min<uint64_t>(into.size(), chain_.readable_bytes);
  while (copied_ < total && budget > 0) {
    const ChainPiece& piece = chain_.readable[piece_];
    const uint64_t left = piece.length - inside_;
    const uint64_t bytes = std::min({left, kCopyStep, total - copied_});
    // Charged twice, because the pages of the copy are new too.
    budget -= std::max(piece_price, static_cast<int64_t>(2 * bytes));
    if (!memory.CopyOut(piece.address + inside_, into.subspan(copied_, bytes))) {
      Outside(piece.address + inside_, bytes);
      return false;
    }
    copied_ += bytes;
    inside_ += bytes;
    if (bytes < left) continue;
    piece_++;
    inside_ = 0;
  }
  return true;
}

bool Chain::CopyOut(const GuestTable& memory, std::span<uint8_t> into) const {
  size_t done = 0;
  for (const ChainPiece& piece : readable) {
    const size_t bytes = std::min<size_t>(piece.length, into.size() - done);
    if (!memory.CopyOut(piece.address, into.subspan(done, bytes))) return false;
    done += bytes;
  }
  return true;
}

uint64_t Chain::Reply(const GuestTable& memory, std::span<const std::span<const uint8_t>> parts) const {
  uint64_t wanted = 0;
  for (const auto& part : parts) wanted += part.size();
  const uint64_t total = std::min(wanted, writable_bytes);
  uint64_t left = total;
  for (size_t piece = 0; left > 0; piece++) {
    const uint64_t bytes = std::min<uint64_t>(writable[piece].length, left);
    if (!memory.Contains(writable[piece].address, bytes)) return 0;
    left -= bytes;
  }
  left = total;
  size_t piece = 0;
  uint64_t inside = 0;
  for (const auto& part : parts) {
    for (uint64_t at = 0; at < part.size() && left > 0;) {
      const ChainPiece& target = writable[piece];
      const uint64_t room = target.length - inside;
      const uint64_t bytes = std::min({part.size() - at, room, left});
      memory.CopyIn(target.address + inside, part.subspan(at, bytes));
      at += bytes;
      left -= bytes;
      inside += bytes;
      if (bytes < room) continue;
      piece++;
      inside = 0;
    }
  }
  return total;
}

}  // namespace vmb
