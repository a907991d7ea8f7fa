// The guest's memory: one memory file, in two regions as a PC has them, handed out by pages.
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
  // One for the process: all devices of a guest share its memory. Null: there is none to be had.
  static GuestRam* get();

  int fd() const { return fd_.get(); }
  uint8_t* at(size_t page) const { return base_ + page * kPage; }
  // Where the page at this offset of the file is for the guest.
  uint64_t address(size_t offset) const;
  bool is_backed_by(dev_t device, ino_t inode) const { return device == device_ && inode == inode_; }
  // Where the whole file is mapped.
  const uint8_t* base() const { return base_; }
  std::vector<wire::MemoryRegion> regions() const;

  struct Run {
    size_t page, count;
  };
  // `count` pages in a row; count 0: no room.
  Run take_contiguous(size_t count);
  // Up to `most` pages in a row at a random place, rarely next to the last ones; count 0: no room.
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
