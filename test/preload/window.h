// SHM region 0 of a device: a reserved range of addresses into which the back-end maps descriptors.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "message.h"

namespace preload {

class Window {
 public:
  // Reserves the range. 0 bytes: the device has no SHM region 0.
  bool reserve(uint64_t bytes);
  uint64_t size() const { return size_; }

  // SHMEM_MAP and SHMEM_UNMAP. False: refused for the reasons for which QEMU refuses (overlap, out of range,
  // not a range that was mapped).
  bool map(const wire::ShmemMap& request, UniqueFd fd);
  bool unmap(const wire::ShmemMap& request);

  // Maps [offset, offset + length) for the program. `address` and `flags` are those of mmap. Returns an
  // errno; 0 on success.
  int view(uint64_t offset, size_t length, int protection, int flags, void** address);

  struct Echo {
    wire::MemoryRegion region;
    int fd;
  };
  // The mappings that a VMM announces to its vhost-user devices as guest memory.
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
