/** VS_PROBE_CONTROL and VS_COMMIT_CONTROL: host and camera agree on a mode. */
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "little_endian.h"
#include "modes.h"

namespace usb_camera {

class Negotiation {
 public:
  /** Answers a class request for the streaming interface. No value: a stall. */
  std::optional<Bytes> Handle(uint8_t selector, uint8_t request, std::span<const uint8_t> data);
  /** The mode of the last commit. */
  Mode mode() const { return ModeOf(committed_); }

 private:
  /** Indices from 1, as in the descriptors. */
  struct Choice {
    uint8_t format = 1;
    uint8_t frame = 1;
    uint32_t interval = kIntervals.front();
  };

  static Choice Nearest(std::span<const uint8_t> data);
  static Mode ModeOf(const Choice& choice);
  static Bytes Describe(const Choice& choice);

  Choice probed_;
  Choice committed_;
};

}  // namespace usb_camera
