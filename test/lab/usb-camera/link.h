/** The device's end of a USB/IP connection. */
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "little_endian.h"
#include "unique_fd.h"

namespace usb_camera {

using Setup = std::array<uint8_t, 8>;

/** A transfer that the host requests, or with `unlink` the cancellation of one. */
struct Transfer {
  uint32_t sequence = 0;
  bool unlink = false;
  uint32_t endpoint = 0;
  bool in = false;
  /** Bytes that the host can take (in) or sends (out). */
  uint32_t length = 0;
  Setup setup{};
  /** Data from the host. */
  Bytes data;
};

class Link {
 public:
  explicit Link(vmb::UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.get(); }
  /** The next message. No value: the host has closed the connection. Waits until the message is complete. */
  std::optional<Transfer> Receive();
  /** `status`: 0 or a negative errno. `bytes` is only sent for transfers to the host. */
  void Complete(const Transfer& transfer, int status, std::span<const uint8_t> bytes = {});
  /** Answers an unlink. `was_pending`: the transfer gets no other answer. */
  void Unlinked(uint32_t sequence, bool was_pending);

 private:
  bool Read(void* bytes, size_t length);
  void Send(std::span<const uint32_t> words, std::span<const uint8_t> bytes);

  vmb::UniqueFd socket_;
};

}  // namespace usb_camera
