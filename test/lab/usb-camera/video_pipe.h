/**
 * The bulk endpoint: frames, cut into payloads of one URB each. The times in a payload's header contain the
 * frame's number n: presentation time n << 16; source clock (n << 16) + the index of the payload in the
 * frame, from 0; USB frame n mod 2048.
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

  /** Starts a stream in this mode. */
  void Start(const Mode& mode);
  /** Drops the frame that is being sent. */
  void Stop() { frame_.clear(); }
  void Take(Transfer transfer) { waiting_.push_back(std::move(transfer)); }
  bool Drop(uint32_t sequence);
  void Reset();
  /** Fills the host's buffers with the frames that are due. */
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
  /** The frame that is being sent. Empty: there is none. */
  Bytes frame_;
  size_t sent_ = 0;
  uint32_t payloads_ = 0;
};

}  // namespace usb_camera
