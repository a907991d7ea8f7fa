// Memory for commands and payloads of the driver: contiguous for the guest's kernel, on scattered guest
// pages.
#pragma once

#include <vector>

#include "guest_ram.h"

namespace preload {

class KernelMemory {
 public:
  KernelMemory(GuestRam& ram, size_t pages);
  ~KernelMemory();
  bool usable() const { return base_ != nullptr; }

  // Releases everything that was taken. Called when the next command begins.
  void reset();
  // Returns zeroed bytes; nullptr: no room. The records of every second command cross page borders, each time
  // at another place.
  uint8_t* take(size_t bytes);
  // Appends the pieces of [data, data + bytes). A new piece begins at each page border.
  void pieces(const uint8_t* data, size_t bytes, bool writable, std::vector<Piece>& out) const;
  // The guest address of one byte.
  uint64_t address(const uint8_t* data) const;

 private:
  GuestRam& ram_;
  const size_t size_;
  uint8_t* base_ = nullptr;
  std::vector<size_t> pages_;
  size_t cursor_ = 0;
  unsigned round_ = 0;
};

}  // namespace preload
