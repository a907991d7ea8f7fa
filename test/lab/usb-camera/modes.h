/** Formats, sizes and rates of the camera. */
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace usb_camera {

enum class Coding { kYuy2, kMjpeg };

struct Size {
  uint16_t width;
  uint16_t height;
  /** Bytes of the largest frame: two for each pixel. */
  constexpr uint32_t bytes() const { return uint32_t{width} * height * 2; }
};

struct Format {
  Coding coding;
  std::span<const Size> sizes;
};

inline constexpr Size kYuy2Sizes[] = {{320, 180}, {160, 120}, {640, 360}};
inline constexpr Size kMjpegSizes[] = {{320, 180}, {640, 360}, {1280, 720}};
/** bFormatIndex and bFrameIndex count from 1 in these lists. */
inline constexpr Format kFormats[] = {{Coding::kYuy2, kYuy2Sizes}, {Coding::kMjpeg, kMjpegSizes}};
inline constexpr uint32_t kLargest = Size{1280, 720}.bytes();

/** Frame intervals of every size in units of 100 ns: 30, 15 and 5 frames a second. */
inline constexpr std::array<uint32_t, 3> kIntervals = {333'333, 666'666, 2'000'000};

struct Mode {
  Coding coding;
  Size size;
  uint32_t interval;
};

}  // namespace usb_camera
