#include "video_pipe.h"

#include <algorithm>

#include "jpeg.h"
#include "pattern.h"
#include "uvc.h"

namespace usb_camera {

namespace {

constexpr uint8_t kHeader = 12;
constexpr uint32_t kUsbFrames = 2048;
/** Bytes of the end marker of a JPEG. */
constexpr size_t kEndMarker = 2;

std::chrono::nanoseconds Duration(uint32_t interval) {
  return std::chrono::nanoseconds(uint64_t{interval} * 100);
}

}  // namespace

void VideoPipe::Start(const Mode& mode) {
  Stop();
  mode_ = mode;
  due_ = Clock::now();
}

bool VideoPipe::Drop(uint32_t sequence) {
  const bool dropped =
      std::erase_if(waiting_, [&](const Transfer& each) { return each.sequence == sequence; }) > 0;
  if (dropped) Stop();
  return dropped;
}

void VideoPipe::Reset() {
  Stop();
  waiting_.clear();
}

void VideoPipe::Run(Link& link, Clock::time_point now) {
  while (!waiting_.empty()) {
    if (frame_.empty()) {
      if (faults_.frames == Frames::kNone || now < due_) return;
      Begin(now);
    }
    link.Complete(waiting_.front(), 0, NextPayload(waiting_.front().length));
    waiting_.pop_front();
  }
}

std::optional<Clock::time_point> VideoPipe::next() const {
  if (waiting_.empty() || faults_.frames == Frames::kNone) return {};
  return due_;
}

/** A slow host gets frames later, but does not lose any. */
void VideoPipe::Begin(Clock::time_point now) {
  ++number_;
  frame_ = mode_.coding == Coding::kYuy2 ? Yuy2Frame(number_, mode_.size) : JpegFrame(number_, mode_.size);
  const Frames fault = number_ % faults_.every == 0 ? faults_.frames : Frames::kWhole;
  if (fault == Frames::kShort) frame_.resize(frame_.size() / 2);
  if (fault == Frames::kEndless) frame_.resize(frame_.size() - kEndMarker);
  damaged_ = fault == Frames::kDamaged;
  sent_ = 0;
  payloads_ = 0;
  frame_id_ = !frame_id_;
  due_ = std::max(due_ + Duration(mode_.interval), now);
}

Bytes VideoPipe::NextPayload(size_t room) {
  const size_t length = std::min(frame_.size() - sent_, std::min<size_t>(room, kPayload) - kHeader);
  const bool last = sent_ + length == frame_.size();
  uint8_t flags = uvc::kEndOfHeader | uvc::kPresentationTime | uvc::kSourceClock;
  if (frame_id_) flags |= uvc::kFrameId;
  if (last) flags |= uvc::kEndOfFrame;
  if (last && damaged_) flags |= uvc::kError;
  const uint32_t time = number_ << 16;
  Bytes payload = Record(kHeader, flags, Long{time}, Long{time + payloads_++},
                         Word{static_cast<uint16_t>(number_ % kUsbFrames)});
  payload.insert(payload.end(), frame_.begin() + sent_, frame_.begin() + sent_ + length);
  sent_ += length;
  if (last) frame_.clear();
  return payload;
}

}  // namespace usb_camera
