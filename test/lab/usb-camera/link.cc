#include "link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include <cstring>

#include "usbip.h"

namespace usb_camera {

using Words = std::array<uint32_t, usbip::kWords>;

std::optional<Transfer> Link::Receive() {
  Words words;
  if (!Read(words.data(), sizeof words)) return {};
  const auto word = [&](usbip::Field field) { return ntohl(words[field]); };
  Transfer transfer;
  transfer.sequence = word(usbip::kSequence);
  transfer.unlink = word(usbip::kCommand) == usbip::kUnlink;
  if (transfer.unlink) {
    transfer.length = word(usbip::kUnlinkSequence);
    return transfer;
  }
  if (word(usbip::kCommand) != usbip::kSubmit || word(usbip::kLength) > usbip::kLongest) return {};
  transfer.endpoint = word(usbip::kEndpoint);
  transfer.in = word(usbip::kDirection) == usbip::kIn;
  transfer.length = word(usbip::kLength);
  memcpy(transfer.setup.data(), &words[usbip::kSetup], transfer.setup.size());
  if (!transfer.in) transfer.data.resize(transfer.length);
  if (!Read(transfer.data.data(), transfer.data.size())) return {};
  return transfer;
}

void Link::Complete(const Transfer& transfer, int status, std::span<const uint8_t> bytes) {
  Words words{};
  words[usbip::kCommand] = htonl(usbip::kSubmitted);
  words[usbip::kSequence] = htonl(transfer.sequence);
  words[usbip::kStatus] = htonl(static_cast<uint32_t>(status));
  if (bytes.size() > transfer.length) bytes = bytes.first(transfer.length);
  const size_t actual = transfer.in ? bytes.size() : transfer.length;
  words[usbip::kActualLength] = htonl(status == 0 ? static_cast<uint32_t>(actual) : 0);
  Send(words, transfer.in && status == 0 ? bytes : std::span<const uint8_t>());
}

void Link::Unlinked(uint32_t sequence, bool was_pending) {
  Words words{};
  words[usbip::kCommand] = htonl(usbip::kUnlinked);
  words[usbip::kSequence] = htonl(sequence);
  words[usbip::kStatus] = htonl(static_cast<uint32_t>(was_pending ? -ECONNRESET : 0));
  Send(words, {});
}

bool Link::Read(void* bytes, size_t length) {
  if (length == 0) return true;
  return recv(fd(), bytes, length, MSG_WAITALL) == static_cast<ssize_t>(length);
}

/** If the host has closed the connection, the next Receive() reports it. */
void Link::Send(std::span<const uint32_t> words, std::span<const uint8_t> bytes) {
  Bytes message(words.size_bytes() + bytes.size());
  memcpy(message.data(), words.data(), words.size_bytes());
  if (!bytes.empty()) memcpy(message.data() + words.size_bytes(), bytes.data(), bytes.size());
  for (size_t sent = 0; sent < message.size();) {
    const ssize_t n = send(fd(), message.data() + sent, message.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    sent += static_cast<size_t>(n);
  }
}

}  // namespace usb_camera
