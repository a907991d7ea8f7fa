// A media device that belongs to a node: a read-only view of its graph, and requests.
#pragma once

#include <memory>

#include "device.h"
#include "unique_fd.h"

namespace preload {

class MediaDevice : public OpenFile {
 public:
  // Null: errno is set. `path`: of the host's media device; `flags`: as for open.
  static std::shared_ptr<MediaDevice> open(const char* path, std::shared_ptr<Device> device, int flags);

  int ioctl(unsigned request, void* argument, bool non_blocking) override;
  short readiness(short wanted) override;
  uint64_t wakes() const override { return 0; }
  int access() const override { return access_; }

 private:
  MediaDevice(UniqueFd host, std::shared_ptr<Device> device, int access)
      : host_(std::move(host)), device_(std::move(device)), access_(access) {}
  int allocate_request(void* argument);

  // A guest's driver would have a media controller of its own. This library has none: a program that only
  // looks sees the host's graph and finds the node by the same device numbers.
  const UniqueFd host_;
  const std::shared_ptr<Device> device_;
  const int access_;
};

}  // namespace preload
