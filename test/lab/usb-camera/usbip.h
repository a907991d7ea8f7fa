/** USB/IP's messages as in Documentation/usb/usbip_protocol.rst of Linux. Numbers are big-endian. */
#pragma once

#include <cstddef>
#include <cstdint>

namespace usb_camera::usbip {

enum Command : uint32_t { kSubmit = 1, kUnlink = 2, kSubmitted = 3, kUnlinked = 4 };
enum Direction : uint32_t { kOut = 0, kIn = 1 };

/** Index of the 32-bit words in the 48 bytes that every message begins with. */
enum Field : size_t {
  kCommand = 0,
  kSequence = 1,
  kDirection = 3,
  kEndpoint = 4,
  // USBIP_CMD_SUBMIT. The last words are the eight bytes of a control transfer's set-up packet.
  kLength = 6,
  kSetup = 10,
  // USBIP_CMD_UNLINK
  kUnlinkSequence = 5,
  // USBIP_RET_SUBMIT, USBIP_RET_UNLINK
  kStatus = 5,
  kActualLength = 6,
};
constexpr size_t kWords = 12;

/** Bytes. No transfer of this camera is longer: uvcvideo's largest URB is 32 packets of 512 bytes. */
constexpr uint32_t kLongest = 1 << 16;

}  // namespace usb_camera::usbip
