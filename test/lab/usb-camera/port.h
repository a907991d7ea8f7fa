/**
 * A port of vhci-hcd, the kernel's virtual host controller, and the V4L2 nodes of the device that is plugged
 * into it.
 */
#pragma once

#include <string>
#include <vector>

#include "unique_fd.h"

namespace usb_camera {

class Port {
 public:
  explicit Port(unsigned number) : number_(number) {}

  /** Plugs a high-speed device in. Returns the device's end of its connection. Throws std::system_error. */
  vmb::UniqueFd Plug() const;
  bool is_free() const;
  /** /dev paths: of the camera, then of its metadata. */
  std::vector<std::string> Nodes() const;
  /**
   * Tells the kernel never to suspend the device of these nodes: one that wakes up while two programs open it may be
   * enumerated anew. False: its driver is not ready, and would allow it again.
   */
  static bool KeepAwake(const std::vector<std::string>& nodes);

 private:
  unsigned number_;
};

}  // namespace usb_camera
