/** The descriptors of the camera. */
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "little_endian.h"

namespace usb_camera {

/** The camera's names. `product` is the name that the node will have. */
struct Strings {
  std::string product;
  std::string serial;
};

/** The descriptor that wValue of GET_DESCRIPTOR names. */
std::optional<Bytes> FindDescriptor(uint8_t type, uint8_t index, const Strings& strings);

}  // namespace usb_camera
