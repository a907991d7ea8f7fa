// SHM region 0 of a device: a reserved range that the back-end fills with descriptors of its own.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "message.h"

namespace preload {

class Window {
 public:
  // Reserves the range; 0 bytes: the device has no region.
  bool reserve(uint64_t bytes);
  uint64_t size() const { return size_; }

  // SHMEM_MAP and SHMEM_UNMAP. False: refused, as QEMU refuses them (overlap, out of range, not what was mapped).
  bool map(const wire::ShmemMap& request, UniqueFd fd);
  bool unmap(const wire::ShmemMap& request);

  // A program's mapping of [offset, offset + length): `address` and `flags` as mmap takes them. An errno, 0 on success.
  int view(uint64_t offset, size_t length, int protection, int flags, void** address);

  struct Echo {
    wire::MemoryRegion region;
    int fd;
  };
  // What a VMM shows of the window to its vhost-user devices as guest memory.
  std::vector<Echo> echoes();

 private:
  struct Mapped {
    uint64_t length, fd_offset;
    UniqueFd fd;
  };
  const Mapped* covering(uint64_t offset, uint64_t* start);

  std::mutex mutex_;
  uint8_t* base_ = nullptr;
  uint64_t size_ = 0;
  std::map<uint64_t, Mapped> mapped_;
};

}  // namespace preload
