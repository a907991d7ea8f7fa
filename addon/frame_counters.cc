#include "frame_counters.h"

#include <algorithm>
#include <numeric>

#include "wakeup.h"

namespace vmb {

namespace {

constexpr uint32_t kHalf = 1u << 31;

void Add(std::atomic<uint64_t>& to, uint64_t number) { to.fetch_add(number, std::memory_order_relaxed); }
uint64_t Read(const std::atomic<uint64_t>& from) { return from.load(std::memory_order_relaxed); }

}  // namespace

void FrameCounters::Count(const v4l2_buffer& frame, std::span<const v4l2_plane> planes) {
  Add(frames_, 1);
  const auto sum = [](uint64_t bytes, const v4l2_plane& plane) { return bytes + plane.bytesused; };
  Add(bytes_, V4L2_TYPE_IS_MULTIPLANAR(frame.type) ? std::accumulate(planes.begin(), planes.end(), uint64_t{0}, sum)
                                                   : frame.bytesused);
  // Two fields of a frame have the same number. A step back: the driver has begun anew.
  const uint32_t step = frame.sequence - last_;
  if (has_last_ && step > 1 && step < kHalf) Add(lost_, step - 1);
  last_ = frame.sequence;
  has_last_ = true;
  // The timestamp of a damaged frame may be made up.
  if ((frame.flags & V4L2_BUF_FLAG_ERROR) != 0) return Add(damaged_, 1);
  if ((frame.flags & V4L2_BUF_FLAG_TIMESTAMP_MASK) != V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC) return;
  const int64_t at = int64_t{frame.timestamp.tv_sec} * 1'000'000 + frame.timestamp.tv_usec;
  latency_.Count(static_cast<uint64_t>(std::max<int64_t>(0, NowMicroseconds() - at)));
}

FrameCounters::Numbers FrameCounters::numbers() const {
  return {Read(frames_), Read(bytes_), Read(lost_), Read(damaged_), queued_.load(std::memory_order_relaxed)};
}

}  // namespace vmb
