#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "histogram.h"
#include "wakeup.h"

namespace vmb {

/** The commands of one device, by kind. The loop and threads count, and the loop reads meanwhile. */
class CommandCounters {
 public:
  /** Ioctl numbers, then the other commands (src/media/commands/command-kinds.ts). */
  static constexpr uint32_t kKinds = 264;

  struct Kind {
    std::atomic<uint64_t> errors = 0;
    std::atomic<int> last_error = 0;
    /** From the arrival of the chain to its answer. */
    Histogram time;
  };
  struct Failure {
    uint32_t kind;
    int error;
    /** NowMicroseconds() of the answer. */
    int64_t at;
  };

  CommandCounters() = default;
  CommandCounters(const CommandCounters&) = delete;
  CommandCounters& operator=(const CommandCounters&) = delete;
  ~CommandCounters() {
    for (const auto& kind : kinds_) delete kind.load();
  }

  /** A kind that is none is ignored. Allocates only for the first command of its kind. */
  void Count(uint32_t kind, int error, uint64_t microseconds) {
    if (kind >= kKinds) return;
    Kind& counted = Of(kind);
    counted.time.Count(microseconds);
    if (error == 0) return;
    counted.errors.fetch_add(1, std::memory_order_relaxed);
    counted.last_error.store(error, std::memory_order_relaxed);
    failure_.store(uint64_t{kind} << 32 | static_cast<uint32_t>(error), std::memory_order_relaxed);
    failed_at_.store(NowMicroseconds(), std::memory_order_relaxed);
  }
  /** Null: there was no such command. */
  const Kind* Find(uint32_t kind) const { return kinds_[kind].load(std::memory_order_acquire); }
  /** nullopt: no command has failed. */
  std::optional<Failure> last_failure() const {
    const uint64_t both = failure_.load(std::memory_order_relaxed);
    if (both == 0) return std::nullopt;
    return Failure{static_cast<uint32_t>(both >> 32), static_cast<int>(both & UINT32_MAX),
                   failed_at_.load(std::memory_order_relaxed)};
  }

 private:
  Kind& Of(uint32_t kind) {
    Kind* known = kinds_[kind].load(std::memory_order_acquire);
    if (known != nullptr) return *known;
    auto made = std::make_unique<Kind>();
    // Another thread may have been faster.
    if (kinds_[kind].compare_exchange_strong(known, made.get(), std::memory_order_acq_rel)) known = made.release();
    return *known;
  }

  std::array<std::atomic<Kind*>, kKinds> kinds_{};
  std::atomic<uint64_t> failure_ = 0;
  std::atomic<int64_t> failed_at_ = 0;
};

}  // namespace vmb
