#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "guest_table.h"
#include "reason.h"

namespace vmb {

/** A part of guest memory that a descriptor names. */
struct ChainPiece {
  uint64_t address;
  uint32_t length;
};

/** One descriptor chain (VIRTIO 1.4, 2.7.5): where the device may read and write. */
struct Chain {
  /** Index of the first descriptor. The used ring names the chain by it. */
  uint16_t head = 0;
  std::vector<ChainPiece> readable;
  std::vector<ChainPiece> writable;
  uint64_t readable_bytes = 0;
  uint64_t writable_bytes = 0;

  /** Copies the readable part, as far as it fits. False: some of it is not in guest memory any more. */
  bool CopyOut(const GuestTable& memory, std::span<uint8_t> into) const;
  /**
   * Writes the parts one after the other from the start of the writable pieces, as far as they fit. Returns the bytes
   * written. Guest memory may have changed since the walk: if a place is gone, nothing is written and the result is 0.
   */
  uint64_t Reply(const GuestTable& memory, std::span<const std::span<const uint8_t>> parts) const;
};

/**
 * The walk along one chain. It may take several steps, because the driver chooses how long the chain is. First every
 * descriptor is read once and checked; then the readable part is copied. So a malformed chain costs no copy.
 */
class ChainWalk {
 public:
  enum class Step { kMore, kDone, kMalformed };
  /** A chain with more is malformed. */
  struct Limits {
    uint64_t readable_bytes;
    /** Entries of an indirect table. */
    uint64_t indirect;
    uint64_t bytes;
  };

  /** `entries`: descriptors of the ring. `may_point`: a descriptor may point to an indirect table. */
  ChainWalk(uint16_t head, uint32_t entries, bool may_point, const Limits& limits);

  /** Reads at most `limit` descriptors, and subtracts those that it has read. `table`: the ring's descriptors. */
  Step Advance(const GuestTable& memory, const uint8_t* table, uint64_t& limit);
  /** What is wrong with a malformed chain. */
  const Reason& why() const { return why_; }

  /**
   * Copies the next bytes of the readable part to the end of `into`, from its byte `copied()` on. Stops at `budget`,
   * from which it subtracts the price of each piece. False: the memory is gone, the chain is malformed.
   */
  bool Copy(const GuestTable& memory, std::span<uint8_t> into, int64_t piece_price, int64_t& budget);
  uint64_t copied() const { return copied_; }

  /** Every descriptor was read, and the chain is well-formed. */
  bool is_read() const { return read_ && why_.empty(); }
  const Chain& chain() const { return chain_; }
  Chain Take() { return std::move(chain_); }

 private:
  struct Descriptor;

  /** True: there is a next descriptor. nullopt: the chain is malformed. */
  std::optional<bool> ReadOne(const GuestTable& memory, const uint8_t* table);
  std::optional<bool> Enter(const GuestTable& memory, const Descriptor& descriptor);
  bool Add(const GuestTable& memory, const Descriptor& descriptor);
  template <typename... Values>
  std::nullopt_t Malformed(const char* format, Values... values) {
    why_.Say(format, values...);
    return std::nullopt;
  }
  std::nullopt_t Outside(uint64_t address, uint64_t length);

  Chain chain_;
  uint64_t bytes_ = 0;
  Limits limits_;
  bool may_point_;
  /** Guest address of the indirect table that is walked. */
  std::optional<uint64_t> indirect_;
  uint32_t entries_;
  uint32_t index_;
  /** Descriptors that may still come. VIRTIO 1.4, 2.7.5: a chain that is longer than its table has a loop. */
  uint32_t left_;
  bool read_ = false;
  Reason why_;
  size_t piece_ = 0;
  uint64_t inside_ = 0;
  uint64_t copied_ = 0;
};

}  // namespace vmb
