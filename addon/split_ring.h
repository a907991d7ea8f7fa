#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "chain_walk.h"
#include "doorbell.h"
#include "guest_table.h"
#include "reason.h"

namespace vmb {

/**
 * The device's side of one split virtqueue (VIRTIO 1.4, 2.7). The loop and the ring's threads use it. Each of them
 * holds `mutex` over a call, for a bounded number of steps and never over a system call.
 */
class SplitRing {
 public:
  struct Options {
    std::shared_ptr<GuestMemory> memory;
    /** A power of two, at most 32768. */
    uint32_t size = 0;
    bool event_idx = false;
    bool indirect = false;
    ChainWalk::Limits limits{};
  };
  /** The three parts, and what keeps them mapped. */
  struct Places {
    uint8_t* descriptors = nullptr;
    uint8_t* available = nullptr;
    uint8_t* used = nullptr;
    std::array<std::shared_ptr<Mapping>, 3> holders;
  };
  enum class Found { kNothing, kMore, kChain, kMalformed };

  explicit SplitRing(Options options) : options_(std::move(options)) {}

  std::mutex mutex;

  /** The parts lie elsewhere now, with the same content. A walk begins again. */
  void Bind(Places places);
  /** Where the ring goes on: the next index of the available ring, and the chains that were abandoned before. */
  void Start(uint16_t base, uint16_t lost);

  /** Chains that are available and not yet popped. */
  uint32_t Waiting();
  /** Walks along the next chain, over at most `limit` descriptors, and subtracts those that it has read. */
  Found Walk(uint64_t& limit);
  /** The walk along the next chain. Only while `walks()`. */
  ChainWalk& walk() { return *walk_; }
  bool walks() const { return walk_.has_value(); }
  /** Pops the chain whose walk is complete. */
  Chain Take();
  /** Pops the next chain and gives it back with length 0, because it is malformed. */
  void Refuse();

  /** VIRTIO 1.4, 2.7.8. Gives a popped chain back. `written`: bytes from the start of its writable part. */
  void Push(const Chain& chain, uint32_t written);
  /** A popped chain never goes back: the driver no longer waits for it. */
  void Abandon();

  /** Whether the driver wants a notification of what was pushed since the last call (VIRTIO 1.4, 2.7.7.2). */
  bool TakeNotification();
  /** The call, if the driver wants one. Ring it without the lock. */
  std::shared_ptr<Doorbell> TakeCall() { return TakeNotification() ? call_ : nullptr; }
  /** Null: the driver is not called. */
  void SetCall(std::shared_ptr<Doorbell> call) { call_.swap(call); }

  // An eventq's descriptors are promised before an event leaves the kernel.

  /** Chains that nobody has been promised. */
  int64_t Free();
  /** Promises a chain to a thread. False: none is free. */
  bool Promise();
  void TakePromise() { promised_--; }
  /** The loop promises a chain. False: none is free. */
  bool Claim();
  /** The loop's promises. `blocked`: events of the loop wait, and no thread may send one before. */
  void SetClaimed(int64_t claimed, bool blocked) {
    claimed_ = claimed;
    blocked_ = blocked;
  }
  /** The most chains that the device ever had at the same time, not yet pushed. */
  uint64_t pool() const { return pool_; }
  /**
   * Asks the driver to kick when it makes the next chain available. True: chains became available since the last
   * call, for which there may be no kick.
   */
  bool EnableKicks();
  /** Asks the driver not to kick. It may kick all the same. */
  void DisableKicks();

  /** Never touches guest memory again. */
  void Stop();
  bool stopped() const { return stopped_; }
  bool broken() const { return !why_broken_.empty(); }
  /** What the driver did that broke the ring. */
  const Reason& why_broken() const { return why_broken_; }

  std::shared_ptr<const GuestTable> table() const { return options_.memory->table(); }
  uint16_t next_available() const { return next_available_; }
  uint64_t popped() const { return popped_; }
  uint64_t pushed() const { return pushed_; }
  uint32_t outstanding() const { return outstanding_; }
  uint16_t lost() const { return lost_; }

 private:
  /** Neither stopped nor broken, and bound. */
  bool lives() const { return !stopped_ && !broken() && places_.used != nullptr; }
  uint16_t LoadAvailable(uint32_t word) const;
  void StoreUsed(uint32_t word, uint16_t value);
  void Give(uint16_t head, uint32_t written);
  void Advance();

  Options options_;
  Places places_;
  std::optional<ChainWalk> walk_;
  uint16_t next_available_ = 0;
  uint16_t used_index_ = 0;
  uint64_t popped_ = 0;
  uint64_t pushed_ = 0;
  uint16_t lost_ = 0;
  uint32_t outstanding_ = 0;
  /** `pushed_` at the last TakeNotification. */
  uint64_t announced_ = 0;
  /** Chains that were made available, at the last EnableKicks. */
  uint64_t seen_ = 0;
  std::shared_ptr<Doorbell> call_;
  int64_t promised_ = 0;
  int64_t claimed_ = 0;
  bool blocked_ = false;
  uint64_t pool_ = 0;
  bool stopped_ = false;
  Reason why_broken_;
};

}  // namespace vmb
