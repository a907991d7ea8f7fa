#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "histogram.h"
#include "v4l2_uapi.h"

namespace vmb {

/**
 * What has come back from one queue of a session. Whoever has the file counts, and the loop reads meanwhile.
 */
class FrameCounters {
 public:
  /** The event of the frame is written. `frame`, `planes`: as DQBUF has filled them. */
  void Count(const v4l2_buffer& frame, std::span<const v4l2_plane> planes);
  /** STREAMOFF: the driver numbers the next frame anew. */
  void Restart() { has_last_ = false; }
  /** How many buffers the driver has. */
  void SetQueued(size_t count) { queued_.store(static_cast<uint32_t>(count), std::memory_order_relaxed); }

  struct Numbers {
    uint64_t frames;
    uint64_t bytes;
    /** Frames that the driver has lost: gaps of v4l2_buffer.sequence. */
    uint64_t lost;
    /** Frames with V4L2_BUF_FLAG_ERROR. */
    uint64_t damaged;
    uint32_t queued;
  };
  Numbers numbers() const;
  /** From the driver's timestamp to the event, if the timestamp is of CLOCK_MONOTONIC. */
  const Histogram& latency() const { return latency_; }

 private:
  std::atomic<uint64_t> frames_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
  std::atomic<uint64_t> lost_ = 0;
  std::atomic<uint64_t> damaged_ = 0;
  std::atomic<uint32_t> queued_ = 0;
  Histogram latency_;
  bool has_last_ = false;
  uint32_t last_ = 0;
};

}  // namespace vmb
