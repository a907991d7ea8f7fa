/** The present faults of the camera. */
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace usb_camera {

using Clock = std::chrono::steady_clock;

enum class Answers { kAtOnce, kNever, kStalls, kLate };
enum class Frames { kWhole, kNone, kShort, kEndless, kDamaged };

struct Faults {
  /** kNever and kLate affect every control transfer, kStalls every class request. */
  Answers answers = Answers::kAtOnce;
  std::chrono::milliseconds delay{};
  Frames frames = Frames::kWhole;
  /** Of kShort, kEndless and kDamaged: only frames whose number is a multiple of this have the fault. */
  uint32_t every = 1;
};

/** The earlier of two points in time, each of which may be absent. */
inline std::optional<Clock::time_point> Earlier(std::optional<Clock::time_point> a,
                                                std::optional<Clock::time_point> b) {
  if (!a || !b) return a ? a : b;
  return *a < *b ? a : b;
}

}  // namespace usb_camera
