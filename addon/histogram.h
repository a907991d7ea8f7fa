#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace vmb {

/**
 * How often something took how long: four buckets for each power of two, from 1 us to 8 s. Threads count, and the loop
 * reads meanwhile: no lock, and no number is wrong by more than what is being counted.
 */
class Histogram {
 public:
  static constexpr size_t kBuckets = 88;

  void Count(uint64_t microseconds) {
    buckets_[IndexOf(microseconds)].fetch_add(1, std::memory_order_relaxed);
    sum_.fetch_add(microseconds, std::memory_order_relaxed);
  }
  uint64_t bucket(size_t index) const { return buckets_[index].load(std::memory_order_relaxed); }
  /** Microseconds of all. */
  uint64_t sum() const { return sum_.load(std::memory_order_relaxed); }

  static constexpr size_t IndexOf(uint64_t microseconds) {
    if (microseconds < 4) return microseconds;
    const auto octave = static_cast<size_t>(std::bit_width(microseconds)) - 1;
    return std::min(kBuckets - 1, (octave - 1) * 4 + (microseconds >> (octave - 2) & 3));
  }
  /** What is in the bucket took less. The last bucket has no bound, and has all that took longer. */
  static constexpr uint64_t BoundOf(size_t index) {
    if (index < 4) return index + 1;
    return (index % 4 + 5) << (index / 4 - 1);
  }

 private:
  std::array<std::atomic<uint64_t>, kBuckets> buckets_{};
  std::atomic<uint64_t> sum_ = 0;
};

}  // namespace vmb
