// One vhost-user message on a stream socket: header, body and descriptors.
#pragma once

#include <span>
#include <vector>

#include "unique_fd.h"
#include "wire.h"

namespace preload {

struct Message {
  wire::MessageHeader header{};
  std::vector<uint8_t> body;
  std::vector<UniqueFd> descriptors;

  // The body as one record; nullptr when it has another size.
  template <typename Record>
  const Record* as() const {
    return body.size() == sizeof(Record) ? reinterpret_cast<const Record*>(body.data()) : nullptr;
  }
};

// False: the peer is gone.
bool send_message(int socket, wire::MessageHeader header, std::span<const uint8_t> body, std::span<const int> fds = {});
// False: the peer is gone, or what it sent is no message.
bool receive_message(int socket, Message& message);

template <typename Record>
std::span<const uint8_t> bytes_of(const Record& record) {
  return {reinterpret_cast<const uint8_t*>(&record), sizeof record};
}

}  // namespace preload
