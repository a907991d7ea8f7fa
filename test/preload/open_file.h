// An open file of the program that belongs to this library: of a node, of a media device, or a media request.
#pragma once

#include <cstdint>

namespace preload {

class OpenFile {
 public:
  virtual ~OpenFile() = default;

  // Returns 0 or a negative errno.
  virtual int ioctl(unsigned request, void* argument, bool non_blocking) = 0;
  // The events of `wanted` (POLL*) that poll reports now.
  virtual short readiness(short wanted) = 0;
  // A number that changes with every wake-up. Edge-triggered polling compares it.
  virtual uint64_t wakes() const = 0;
  // O_RDONLY, O_WRONLY or O_RDWR.
  virtual int access() const = 0;
};

}  // namespace preload
