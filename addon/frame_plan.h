#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "mapping.h"
#include "split_ring.h"
#include "v4l2_uapi.h"

namespace vmb {

/** EVT_DQBUF (virtio-media, "Events"): always sent whole. */
struct FrameEvent {
  uint32_t event;
  uint32_t session;
  v4l2_buffer buffer;
  std::array<v4l2_plane, VIDEO_MAX_PLANES> planes;
};
static_assert(sizeof(FrameEvent) == 608);

/**
 * What threads may do with the buffers of one streaming queue without the loop: QBUF, and DQBUF with its event. The loop
 * makes the plan (src/media/queues/frame-plan.ts) before it releases the file, and takes it away when it holds the file
 * again. Whoever the gate has let in uses it.
 */
class FramePlan {
 public:
  static constexpr uint32_t kMaxBuffers = 64;

  struct Plane {
    /** Bytes of the host's plane. */
    uint32_t length = 0;
    /** What the guest passes to mmap. */
    uint32_t mmap_offset = 0;
    /** USERPTR queue of the host: its memory. */
    std::shared_ptr<Mapping> memory;
    uint64_t at = 0;
  };
  struct Buffer {
    /** The guest has a plane mapped. */
    bool mapped = false;
    /** None: there is no such buffer. */
    std::vector<Plane> planes;
  };
  struct Options {
    std::shared_ptr<SplitRing> events;
    uint32_t session = 0;
    uint32_t type = 0;
    uint32_t guest_memory = 0;
    uint32_t host_memory = 0;
    /** The bits of v4l2_buffer.flags that a guest may set. */
    uint32_t guest_flags = 0;
    std::vector<Buffer> buffers;
    /** Buffers that the driver has, in the order of their QBUFs. */
    std::vector<uint8_t> queued;
  };
  /** A plane array, and where its buffer is one. */
  using Planes = std::array<v4l2_plane, VIDEO_MAX_PLANES>;

  explicit FramePlan(Options options) : options_(std::move(options)) {}

  bool is_multiplanar() const { return V4L2_TYPE_IS_MULTIPLANAR(options_.type); }
  /** Whether a QBUF needs no decision. */
  bool Plans(const v4l2_buffer& guest) const;
  /** The records for QBUF of the host. `planes` are those of the guest. */
  v4l2_buffer HostRecord(const v4l2_buffer& guest, Planes& planes) const;
  /** The guest's view of what QBUF returned. */
  void GuestRecord(const v4l2_buffer& guest, v4l2_buffer& host, Planes& planes) const;
  /** QBUF has succeeded. */
  void Queued(uint32_t index) { options_.queued.push_back(static_cast<uint8_t>(index)); }

  /** Sends an event for each frame that is ready. False: the loop has to go on. */
  bool Drain(int fd);
  /** The call for the events that were sent, if the driver wants one. Ring it when the file is let go. */
  std::shared_ptr<Doorbell> TakeCall() { return std::exchange(call_, nullptr); }

  const Options& options() const { return options_; }
  const v4l2_buffer* last_frame() const { return has_last_ ? &last_ : nullptr; }
  /** Frames that left the kernel, and whose events did not fit into the descriptors that were promised. */
  const std::vector<FrameEvent>& untold() const { return untold_; }

 private:
  enum class Next { kSent, kNothing, kLoop };
  Next DrainOne(int fd);
  FrameEvent EventOf(const v4l2_buffer& frame, const Planes& planes) const;
  bool Send(const FrameEvent& event);

  Options options_;
  bool has_last_ = false;
  v4l2_buffer last_{};
  std::vector<FrameEvent> untold_;
  std::shared_ptr<Doorbell> call_;
};

}  // namespace vmb
