#include "negotiation.h"

#include <algorithm>

#include "uvc.h"

namespace usb_camera {

namespace {

constexpr size_t kFormatAt = 2, kFrameAt = 3, kIntervalAt = 4;
/** Length of the controls in release 1.1. */
constexpr uint16_t kControlLength = 34;
constexpr uint8_t kFixInterval = 1;
constexpr uint8_t kFrameIdIsUsed = 1, kEndOfFrameIsUsed = 2;

}  // namespace

std::optional<Bytes> Negotiation::Handle(uint8_t selector, uint8_t request, std::span<const uint8_t> data) {
  if (selector != uvc::kProbe && selector != uvc::kCommit) return {};
  Choice& choice = selector == uvc::kProbe ? probed_ : committed_;
  Choice other = choice;
  switch (request) {
    case uvc::kSetCur:
      if (data.size() < kIntervalAt + 4) return {};
      choice = Nearest(data);
      return Bytes();
    case uvc::kGetCur:
      return Describe(choice);
    case uvc::kGetMin:
      other.interval = kIntervals.front();
      return Describe(other);
    case uvc::kGetMax:
      other.interval = kIntervals.back();
      return Describe(other);
    case uvc::kGetDef:
      return Describe({});
    case uvc::kGetLen:
      return Record(Word{kControlLength});
    case uvc::kGetInfo:
      return Record(uvc::kGet | uvc::kSet);
    default:
      return {};
  }
}

/** A camera never refuses a proposal. It answers with the nearest mode that it has. */
Negotiation::Choice Negotiation::Nearest(std::span<const uint8_t> data) {
  Choice choice;
  choice.format = std::clamp<uint8_t>(data[kFormatAt], 1, std::size(kFormats));
  choice.frame = std::clamp<uint8_t>(data[kFrameAt], 1, kFormats[choice.format - 1].sizes.size());
  const int64_t wanted = Number(data.subspan(kIntervalAt, 4));
  choice.interval = std::ranges::min(kIntervals, {}, [&](int64_t each) { return std::abs(each - wanted); });
  return choice;
}

Mode Negotiation::ModeOf(const Choice& choice) {
  const Format& format = kFormats[choice.format - 1];
  return {format.coding, format.sizes[choice.frame - 1], choice.interval};
}

Bytes Negotiation::Describe(const Choice& choice) {
  const Word none{0};
  Bytes bytes = Record(Word{kFixInterval}, choice.format, choice.frame, Long{choice.interval}, none, none,
                       none, none, none, Long{ModeOf(choice).size.bytes()}, Long{kPayload},
                       Long{kClockFrequency}, kFrameIdIsUsed | kEndOfFrameIsUsed);
  bytes.resize(kControlLength);
  return bytes;
}

}  // namespace usb_camera
