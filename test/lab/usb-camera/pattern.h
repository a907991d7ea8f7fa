/**
 * What the camera shows. Both kinds of frames are noise that depends on the frame's number n, which counts
 * from 1 for as long as the program runs and appears in no frame twice:
 *
 * noise: 65521 bytes; a 32-bit xorshift generator (<< 13, >> 17, << 5) begins with state 1, and each byte is
 * the low one of its next state. noise(n, i) = noise[(257 n + i) mod 65521].
 *
 * YUY2: byte i of frame n is noise(n, i), but the first four bytes are n, least significant byte first.
 * MJPEG: block i, left to right and top to bottom, of 8 x 8 pixels (the lowest ones may be cut off) has the
 * luminance noise(n, i) in all of its pixels, and no colour. A comment segment holds n in decimal digits.
 */
#pragma once

#include <cstddef>
#include <cstdint>

#include "little_endian.h"
#include "modes.h"

namespace usb_camera {

uint8_t Noise(uint32_t frame, size_t i);

Bytes Yuy2Frame(uint32_t frame, const Size& size);

}  // namespace usb_camera
