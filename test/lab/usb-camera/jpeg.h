/** Frame n as a baseline JPEG with 4:2:2, as webcams send it; see pattern.h. */
#pragma once

#include <cstdint>

#include "little_endian.h"
#include "modes.h"

namespace usb_camera {

Bytes JpegFrame(uint32_t frame, const Size& size);

}  // namespace usb_camera
