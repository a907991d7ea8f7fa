// An open file of a node: the state that the driver and v4l2-core keep for it.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "event_queue.h"
#include "open_file.h"
#include "wire.h"

namespace preload {

class Device;
struct RequestState;

constexpr unsigned kQueueTypes = V4L2_BUF_TYPE_META_OUTPUT + 1;

bool is_multiplanar(uint32_t type);
bool is_output(uint32_t type);

// A buffer of the guest. `m` of `kept` and `planes` is the memory that the program gave at its last QBUF or
// PREPARE_BUF. The device does not know the program's addresses and descriptors, so QUERYBUF and DQBUF take
// them from here.
struct Buffer {
  v4l2_buffer kept{};
  v4l2_plane planes[VIDEO_MAX_PLANES]{};
  bool has_memory = false;
  // If true, QBUF ignores the memory that it is given.
  bool prepared = false;
  bool queued = false;
  // The handle of the request that the buffer is in; 0: none. In a request too, `queued` is true from QBUF
  // on.
  uint32_t request = 0;
};

struct Queue {
  std::vector<Buffer> buffers;
  // Buffers that the device has given back and the program has not dequeued.
  std::deque<wire::Event> done;
  // Number of buffers that were queued and not dequeued. A buffer in a request counts from the QUEUE of the
  // request on.
  unsigned queued = 0;
  bool streaming = false;
  // A buffer with the flag LAST was dequeued: DQBUF returns EPIPE.
  bool last_dequeued = false;
  // Nothing was queued since the queue was stopped: poll returns an error at once.
  bool waits_for_buffers = true;

  // STREAMOFF, or all buffers are freed: every buffer belongs to the program again.
  void clear();
};

class Session : public OpenFile, public std::enable_shared_from_this<Session> {
 public:
  // Null: *error is a negative errno.
  static std::shared_ptr<Session> open(std::shared_ptr<Device> device, int flags, int* error);
  ~Session() override;

  Device& device() const { return *device_; }
  uint32_t id() const { return id_; }
  int access() const override { return access_; }
  uint64_t wakes() const override { return generation; }
  int ioctl(unsigned request, void* argument, bool non_blocking) override;

  // Processes an event of the eventq.
  void handle(const wire::Event& event, uint32_t bytes);
  short readiness(short wanted) override;

  // Protects all members below.
  std::mutex mutex;
  std::array<Queue, kQueueTypes> queues;
  EventQueue events;
  v4l2_priority priority = V4L2_PRIORITY_DEFAULT;
  // Changes with every wake-up. Edge-triggered polling compares it.
  std::atomic<uint64_t> generation = 0;
  // Requests by handle.
  std::map<uint32_t, std::shared_ptr<RequestState>> requests;
  // Number of the last ioctl. It is sent in a reserved word of CLOSE.
  uint32_t last_code = 0;

  // Increments `generation` and wakes the waiters. Call with `mutex` locked.
  void changed();

 private:
  Session(std::shared_ptr<Device> device, uint32_t id, int access);
  void handle_dqbuf(const wire::Event& event);
  short poll_queue(short wanted);
  short poll_m2m(short wanted);

  const std::shared_ptr<Device> device_;
  const uint32_t id_;
  const int access_;
};

}  // namespace preload
