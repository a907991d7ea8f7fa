#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "mapping.h"

namespace vmb {

/** Guest memory at one moment: its mapped regions, in order of guest address, without overlaps. */
class GuestTable {
 public:
  struct Region {
    uint64_t address;
    std::shared_ptr<Mapping> mapping;
  };

  GuestTable() = default;
  explicit GuestTable(std::vector<Region> regions) : regions_(std::move(regions)) {}

  /** Whether all of `length` bytes at a guest address are mapped. */
  bool Contains(uint64_t address, uint64_t length) const;
  /** Copies bytes at a guest address out. False: not all of them are mapped, and nothing was copied. */
  bool CopyOut(uint64_t address, std::span<uint8_t> into) const;
  /** Copies bytes to a guest address. False: not all of them are mapped, and nothing was copied. */
  bool CopyIn(uint64_t address, std::span<const uint8_t> from) const;
  /** The mapping that has these bytes of this process. Null: none has. */
  std::shared_ptr<Mapping> HolderOf(std::span<const uint8_t> bytes) const;

 private:
  /** The mapped bytes from a guest address to the end of its region, at most `length`. Empty: it is not mapped. */
  std::span<uint8_t> At(uint64_t address, uint64_t length) const;

  std::vector<Region> regions_;
};

/** The guest memory of one VM. The loop sets it, and rings read it on any thread. */
class GuestMemory {
 public:
  std::shared_ptr<const GuestTable> table() const {
    const std::lock_guard lock(mutex_);
    return table_;
  }
  void Set(GuestTable table) {
    auto fresh = std::make_shared<const GuestTable>(std::move(table));
    const std::lock_guard lock(mutex_);
    table_.swap(fresh);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const GuestTable> table_ = std::make_shared<const GuestTable>();
};

}  // namespace vmb
