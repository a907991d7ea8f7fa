/** Bytes of USB records. All numbers of USB are little-endian. */
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace usb_camera {

using Bytes = std::vector<uint8_t>;

/** Appended as two bytes. */
struct Word {
  uint16_t value;
};

/** Appended as four bytes. */
struct Long {
  uint32_t value;
};

inline void Append(Bytes& bytes, uint32_t value, size_t width) {
  for (size_t i = 0; i < width; ++i) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}
inline void Append(Bytes& bytes, int byte) { bytes.push_back(static_cast<uint8_t>(byte)); }
inline void Append(Bytes& bytes, Word word) { Append(bytes, word.value, 2); }
inline void Append(Bytes& bytes, Long word) { Append(bytes, word.value, 4); }
inline void Append(Bytes& bytes, const Bytes& more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

/** Bytes of the fields one after the other. A number is one byte unless it is a Word or a Long. */
template <typename... Fields>
Bytes Record(const Fields&... fields) {
  Bytes bytes;
  (Append(bytes, fields), ...);
  return bytes;
}

inline uint32_t Number(std::span<const uint8_t> bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes.size() && i < 4; ++i) value |= uint32_t{bytes[i]} << (8 * i);
  return value;
}

}  // namespace usb_camera
