/**
 * The pictures of the camera. Both kinds of frames are noise that depends on the number n of the frame. n
 * counts from 1 while the program runs, and no number is used twice:
 *
 * noise: 65521 bytes. A 32-bit xorshift generator (<< 13, >> 17, << 5) begins with state 1, and each byte is
 * the low byte of the next state. noise(n, i) = noise[(257 n + i) mod 65521].
 *
 * YUY2: byte i of frame n is noise(n, i), but the first four bytes are n, least significant byte first.
 * MJPEG: all pixels of block i have the luminance noise(n, i) and no colour. Blocks are 8 x 8 pixels, counted
 * from left to right and from top to bottom; the lowest ones may be cut off. A comment segment contains n in
 * decimal digits.
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
