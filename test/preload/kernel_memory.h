// Where a driver keeps commands and payloads: memory in a row for the guest's kernel, on pages that are not.
#pragma once

#include <vector>

#include "guest_ram.h"

namespace preload {

class KernelMemory {
 public:
  KernelMemory(GuestRam& ram, size_t pages);
  ~KernelMemory();
  bool usable() const { return base_ != nullptr; }

  // Forgets everything that was taken: the next command begins.
  void reset();
  // Zeroed bytes; nullptr: no room. Every other command's records lie across page borders, each time elsewhere.
  uint8_t* take(size_t bytes);
  // Adds the pieces that [data, data + bytes) consists of: a new one at each page border.
  void pieces(const uint8_t* data, size_t bytes, bool writable, std::vector<Piece>& out) const;
  // The guest's address of one byte.
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
