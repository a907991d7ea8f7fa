// Every VIDIOC ioctl that a program may call, one row each. An ioctl without a row is ENOTTY.
#pragma once

#include "call.h"

namespace preload {

// The nodes for which v4l2-core admits an ioctl.
enum Node : uint16_t {
  kVideo = 1,
  kVbi = 2,
  kMeta = 4,
  kRadio = 8,
  kSdr = 16,
  kTouch = 32,
  kAny = 63,
  kReceiver = 64,
  kTransmitter = 128,
  // Only with V4L2_CAP_STREAMING.
  kStreaming = 256,
};

enum Rule : uint8_t {
  // EBUSY while another file has a higher priority.
  kPriority = 1,
  // The payload is copied out on errors too.
  kAlwaysCopy = 2,
};

struct Row {
  unsigned request;
  const char* name;
  // Bytes of the payload that are copied in; 0: all. The rest is zeroed.
  uint16_t input;
  uint8_t rules;
  uint16_t nodes;
  Handler handler;

  constexpr unsigned nr() const { return _IOC_NR(request); }
  constexpr unsigned size() const { return _IOC_SIZE(request); }
  bool reads() const { return _IOC_DIR(request) & _IOC_READ; }
  bool writes() const { return _IOC_DIR(request) & _IOC_WRITE; }
};

// The row of exactly this request (number, direction and size); null: there is none.
const Row* find_row(unsigned request);

// Whether v4l2-core admits the ioctl on this node.
bool is_valid(const Row& row, const Device& device);

}  // namespace preload
