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

  // The body as one record; nullptr: it has another size.
  template <typename Record>
  const Record* as() const {
    return body.size() == sizeof(Record) ? reinterpret_cast<const Record*>(body.data()) : nullptr;
  }
};

// False: the connection is closed.
bool send_message(int socket, wire::MessageHeader header, std::span<const uint8_t> body, std::span<const int> fds = {});
// False: the connection is closed, or the bytes are no message.
bool receive_message(int socket, Message& message);

template <typename Record>
std::span<const uint8_t> bytes_of(const Record& record) {
  return {reinterpret_cast<const uint8_t*>(&record), sizeof record};
}

}  // namespace preload
