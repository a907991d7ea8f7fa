/**
 * The bulk endpoint: frames, cut into payloads of one URB each. A payload's header has the frame's number n
 * in its times: presentation time n << 16, source clock (n << 16) + the payload's place in the frame, from 0,
 * and its USB frame n mod 2048.
 */
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "faults.h"
#include "link.h"
#include "modes.h"

namespace usb_camera {

class VideoPipe {
 public:
  explicit VideoPipe(const Faults& faults) : faults_(faults) {}

  /** A stream in this mode begins. */
  void Start(const Mode& mode);
  /** The frame that is being sent is given up. */
  void Stop() { frame_.clear(); }
  void Take(Transfer transfer) { waiting_.push_back(std::move(transfer)); }
  bool Drop(uint32_t sequence);
  void Reset();
  /** Fills the host's buffers as far as frames are due. */
  void Run(Link& link, Clock::time_point now);
  std::optional<Clock::time_point> next() const;

 private:
  void Begin(Clock::time_point now);
  Bytes NextPayload(size_t room);

  const Faults& faults_;
  std::deque<Transfer> waiting_;
  Mode mode_{kFormats[0].coding, kFormats[0].sizes[0], kIntervals[0]};
  Clock::time_point due_;
  uint32_t number_ = 0;
  bool frame_id_ = false;
  bool damaged_ = false;
  /** Empty: none is being sent. */
  Bytes frame_;
  size_t sent_ = 0;
  uint32_t payloads_ = 0;
};

}  // namespace usb_camera
