#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>

namespace vmb {

/** What happens to the bytes of a payload that crosses otherwise as it is (RowRule of src/v4l2/ioctls.ts). */
struct RowRule {
  /** Byte offset of a 32-bit field. */
  uint32_t at;
  /** Bits of the field that are always 0. */
  uint32_t hidden;
  /** Bits that are 0 as well, unless one of the bits `unless` is set. */
  uint32_t optional;
  uint32_t unless;
  /** 1: errors but ENOTTY are answered with the payload too. */
  uint32_t answers_errors;

  /** False: the field is not inside the payload. */
  bool HideBits(std::span<uint8_t> payload) const {
    if ((hidden | optional) == 0) return true;
    uint32_t field;
    if (payload.size() < sizeof field || at > payload.size() - sizeof field) return false;
    std::memcpy(&field, payload.data() + at, sizeof field);
    field &= ~(hidden | ((field & unless) != 0 ? 0 : optional));
    std::memcpy(payload.data() + at, &field, sizeof field);
    return true;
  }
};

/** By ioctl number. */
using RowRules = std::array<RowRule, 256>;

}  // namespace vmb
