#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "buffer_record.h"
#include "mapping.h"
#include "split_ring.h"
#include "v4l2_uapi.h"

namespace vmb {

/**
 * What threads may do with the buffers of streaming queues without the loop: QBUF, and DQBUF and DQEVENT with their
 * events. The loop makes the plan (src/media/queues/frame-plan.ts) before it releases the file, and takes it away when it
 * holds the file again. Whoever the gate has let in uses it.
 */
class FramePlan {
 public:
  static constexpr uint32_t kMaxBuffers = 64;
  static constexpr uint32_t kMaxQueues = 2;

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
  using Planes = BufferPlanes;

  struct Queue {
    uint32_t type = 0;
    uint32_t guest_memory = 0;
    uint32_t host_memory = 0;
    /** The bits of v4l2_buffer.flags that a guest may set. */
    uint32_t guest_flags = 0;
    std::vector<Buffer> buffers;
    /** Buffers that the driver has, in the order of their QBUFs. */
    std::vector<uint8_t> queued;
    /** Since the plan was made. */
    bool has_last_frame = false;
    v4l2_buffer last_frame{};

    bool is_multiplanar() const { return V4L2_TYPE_IS_MULTIPLANAR(type); }
    /** The records for QBUF of the host. `planes` are those of the guest. */
    v4l2_buffer HostRecord(const v4l2_buffer& guest, Planes& planes) const;
    /** The guest's view of what QBUF returned. */
    void GuestRecord(const v4l2_buffer& guest, v4l2_buffer& host, Planes& planes) const;
    /** The guest's view of what DQBUF returned. `planes` has those of the frame. */
    void EventRecord(v4l2_buffer& frame, std::span<v4l2_plane> planes) const;
  };
  struct Options {
    std::shared_ptr<SplitRing> events;
    uint32_t session = 0;
    /** The guest has subscribed to V4L2 events. */
    bool subscribed = false;
    /** An OUTPUT queue comes before a CAPTURE queue: frames that are ready together are told in this order. */
    std::vector<Queue> queues;
  };
  /** An event (virtio-media, "Events"), as it goes into a descriptor of the eventq. */
  using Event = std::vector<uint8_t>;

  explicit FramePlan(Options options) : options_(std::move(options)) {}

  /** The queue of a QBUF that needs no decision. Null: it does. */
  Queue* Find(const v4l2_buffer& guest);

  /** Sends an event for each V4L2 event and each frame that is ready. False: the loop has to go on. */
  bool Drain(int fd);
  /** The call for the events that were sent, if the driver wants one. Ring it when the file is let go. */
  std::shared_ptr<Doorbell> TakeCall() { return std::exchange(call_, nullptr); }

  const Options& options() const { return options_; }
  /** Events of what has left the kernel, and which did not fit into the descriptors that were promised. In order. */
  const std::vector<Event>& untold() const { return untold_; }

 private:
  enum class Next { kTaken, kNothing, kLoop };
  /** A buffer that is out of the kernel. */
  struct Taken {
    Queue* queue;
    v4l2_buffer frame;
    Planes planes;
    /** A descriptor of the eventq is promised. */
    bool promised;
  };

  bool Promise();
  void TakePromise();
  Next Collect(int fd);
  using Group = std::vector<Taken>;
  Next Take(int fd, Queue& queue, Group& group, bool ahead);
  Next TakeFirsts(int fd);
  void SendGroup(int fd);
  bool SendEvents(int fd, bool ahead);
  void Send(const Taken& taken);
  void Send(std::span<const uint8_t> event, bool promised);
  bool Push(std::span<const uint8_t> event);

  Options options_;
  /** Buffers that are told next: those of the first of two queues, and those of the last or only one. */
  Group firsts_;
  Group lasts_;
  std::vector<Event> untold_;
  std::shared_ptr<Doorbell> call_;
};

}  // namespace vmb
