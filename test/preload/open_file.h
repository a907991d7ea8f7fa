// An open file of the program that is ours: of a node, of a media device, or a media request.
#pragma once

#include <cstdint>

namespace preload {

class OpenFile {
 public:
  virtual ~OpenFile() = default;

  // 0 or a negative errno.
  virtual int ioctl(unsigned request, void* argument, bool non_blocking) = 0;
  // What poll reports of `wanted` (POLL*), ready or not.
  virtual short readiness(short wanted) = 0;
  // Changes with every wake-up: what edge-triggered polling compares.
  virtual uint64_t wakes() const = 0;
  // O_RDONLY, O_WRONLY or O_RDWR.
  virtual int access() const = 0;
};

}  // namespace preload
