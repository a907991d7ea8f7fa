#include "message.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace preload {
namespace {

constexpr size_t kMaxDescriptors = 32;
constexpr uint32_t kMaxBody = 4096;

bool receive_bytes(int socket, uint8_t* bytes, size_t count) {
  while (count > 0) {
    const ssize_t got = recv(socket, bytes, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    count -= static_cast<size_t>(got);
  }
  return true;
}

void keep_descriptors(msghdr& head, std::vector<UniqueFd>& into) {
  for (cmsghdr* control = CMSG_FIRSTHDR(&head); control; control = CMSG_NXTHDR(&head, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(control) + i * sizeof fd, sizeof fd);
      into.emplace_back(fd);
    }
  }
}

}  // namespace

bool send_message(int socket, wire::MessageHeader header, std::span<const uint8_t> body, std::span<const int> fds) {
  header.size = static_cast<uint32_t>(body.size());
  iovec parts[] = {{&header, sizeof header}, {const_cast<uint8_t*>(body.data()), body.size()}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors)] = {};
  msghdr head = {};
  head.msg_iov = parts;
  head.msg_iovlen = 2;
  if (!fds.empty()) {
    head.msg_control = control;
    head.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&head);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  ssize_t sent;
  do sent = sendmsg(socket, &head, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == static_cast<ssize_t>(sizeof header + body.size());
}

bool receive_message(int socket, Message& message) {
  iovec part = {&message.header, sizeof message.header};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors)];
  msghdr head = {};
  head.msg_iov = &part;
  head.msg_iovlen = 1;
  head.msg_control = control;
  head.msg_controllen = sizeof control;
  ssize_t got;
  do got = recvmsg(socket, &head, MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got <= 0) return false;
  message.descriptors.clear();
  keep_descriptors(head, message.descriptors);
  const auto rest = static_cast<size_t>(got);
  auto* header = reinterpret_cast<uint8_t*>(&message.header);
  if (!receive_bytes(socket, header + rest, sizeof message.header - rest)) return false;
  if (message.header.size > kMaxBody || (message.header.flags & 3) != wire::kVersion) return false;
  message.body.resize(message.header.size);
  return receive_bytes(socket, message.body.data(), message.body.size());
}

}  // namespace preload
