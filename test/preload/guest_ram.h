// The guest's memory: one memory file in two regions, as a PC has them. Pages are handed out from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <sys/types.h>
#include <vector>

#include "unique_fd.h"
#include "wire.h"

namespace preload {

constexpr size_t kPage = 4096;

// A piece of a descriptor chain.
struct Piece {
  uint64_t address;
  uint32_t length;
  bool writable;
};

class GuestRam {
 public:
  // One object for the process, because all devices of a guest share its memory. Null: it could not be made.
  static GuestRam* get();

  int fd() const { return fd_.get(); }
  uint8_t* at(size_t page) const { return base_ + page * kPage; }
  // The guest address of the page at this offset of the file.
  uint64_t address(size_t offset) const;
  bool is_backed_by(dev_t device, ino_t inode) const { return device == device_ && inode == inode_; }
  // The address in this process at which the whole file is mapped.
  const uint8_t* base() const { return base_; }
  std::vector<wire::MemoryRegion> regions() const;

  struct Run {
    size_t page, count;
  };
  // Takes `count` contiguous pages; count 0 in the result: no room.
  Run take_contiguous(size_t count);
  // Takes up to `most` contiguous pages at a random place, which rarely follows the last one; count 0: no
  // room.
  Run take_scattered(size_t most);
  void give(Run run);

 private:
  GuestRam(UniqueFd fd, uint8_t* base);
  Run occupy(size_t page, size_t count);
  uint32_t random();

  UniqueFd fd_;
  uint8_t* base_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::mutex mutex_;
  std::vector<bool> used_;
  uint32_t state_ = 0x2545'f491;
};

}  // namespace preload
