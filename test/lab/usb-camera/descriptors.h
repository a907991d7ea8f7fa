/** What the camera says of itself. */
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "little_endian.h"

namespace usb_camera {

/** The descriptor that GET_DESCRIPTOR's wValue names. `product` is the name that the node will have. */
std::optional<Bytes> FindDescriptor(uint8_t type, uint8_t index, std::string_view product);

}  // namespace usb_camera
