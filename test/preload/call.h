// An ioctl of a program, copied in, and the functions that carry it out. A handler returns 0 or a negative
// errno.
#pragma once

#include <cstring>
#include <vector>

#include "device.h"
#include "session.h"

namespace preload {

struct Row;

// Bytes of the largest payload, G_ENC_INDEX.
constexpr size_t kMaxPayload = sizeof(v4l2_enc_idx);

struct Call {
  Session& session;
  const Row& row;
  bool non_blocking;
  // The payload. A pointer in it to an array is an address of the program.
  alignas(8) uint8_t payload[kMaxPayload];
  // The array that this pointer points to: planes, controls, EDID blocks.
  std::vector<uint8_t> array;

  template <typename Record>
  Record& as() {
    return *reinterpret_cast<Record*>(payload);
  }
  template <typename Element>
  Element* array_of() {
    return reinterpret_cast<Element*>(array.data());
  }
};

using Handler = int (*)(Call&);

// Sends the payload, the array and what follows them to the device. Returns 0 or a negative errno.
int forward(Call& call);
int forward(Call& call, std::span<const Part> rest, Judgement judgement);

// core.cc: ioctls that v4l2-core answers itself.
int query_capabilities(Call&);
int get_priority(Call&);
int set_priority(Call&);
int format(Call&);
int get_number(Call&);
// allocation_ioctl.cc
int request_buffers(Call&);
int create_buffers(Call&);
int remove_buffers(Call&);
int stream_on(Call&);
int stream_off(Call&);
int coder_command(Call&);
// buffer_ioctl.cc
int query_buffer(Call&);
int queue_buffer(Call&);
int prepare_buffer(Call&);
int dequeue_buffer(Call&);
int export_buffer(Call&);
// control_ioctl.cc
int query_control(Call&);
int get_control(Call&);
int set_control(Call&);
int extended_controls(Call&);
// event_ioctl.cc
int subscribe_event(Call&);
int unsubscribe_event(Call&);
int dequeue_event(Call&);
// edid_ioctl.cc
int edid(Call&);

// Whether the node has queues and formats of this buffer type (check_fmt of v4l2-core).
bool has_type(const Device& device, uint32_t type);

}  // namespace preload
