#include "pattern.h"

#include <algorithm>
#include <array>

namespace usb_camera {

namespace {

constexpr size_t kPeriod = 65'521;
constexpr uint64_t kStep = 257;

const std::array<uint8_t, kPeriod> kNoise = [] {
  std::array<uint8_t, kPeriod> noise;
  uint32_t state = 1;
  for (uint8_t& byte : noise) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    byte = static_cast<uint8_t>(state);
  }
  return noise;
}();

size_t Start(uint32_t frame) { return kStep * frame % kPeriod; }

}  // namespace

uint8_t Noise(uint32_t frame, size_t i) { return kNoise[(Start(frame) + i) % kPeriod]; }

Bytes Yuy2Frame(uint32_t frame, const Size& size) {
  Bytes bytes(size.bytes());
  size_t from = Start(frame);
  for (size_t at = 0; at < bytes.size();) {
    const size_t length = std::min(bytes.size() - at, kPeriod - from);
    std::copy_n(kNoise.begin() + from, length, bytes.begin() + at);
    at += length;
    from = 0;
  }
  const Bytes number = Record(Long{frame});
  std::ranges::copy(number, bytes.begin());
  return bytes;
}

}  // namespace usb_camera
