// An open file of a node: what the driver and v4l2-core keep for it.
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

// A buffer of the guest. `m` of `kept` and `planes`: the memory that the program gave it last, by QBUF or PREPARE_BUF. The
// device does not know the program's addresses and descriptors: QUERYBUF and DQBUF tell them from here.
struct Buffer {
  v4l2_buffer kept{};
  v4l2_plane planes[VIDEO_MAX_PLANES]{};
  bool has_memory = false;
  // QBUF does not look at what it is given then.
  bool prepared = false;
  bool queued = false;
  // The handle of the request that it is in; 0: none. Then `queued` is true from QBUF on, as ever.
  uint32_t request = 0;
};

struct Queue {
  std::vector<Buffer> buffers;
  // Buffers that the device has given back and the program has not asked for.
  std::deque<wire::Event> done;
  // Buffers that were queued and not dequeued; in a request, from its own QUEUE on.
  unsigned queued = 0;
  bool streaming = false;
  // A buffer with LAST was dequeued: DQBUF says EPIPE.
  bool last_dequeued = false;
  // Nothing was queued since the queue was stopped: poll says so at once.
  bool waits_for_buffers = true;

  // STREAMOFF, and freeing all buffers: everything is the program's again.
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

  // An event of the eventq.
  void handle(const wire::Event& event, uint32_t bytes);
  short readiness(short wanted) override;

  // Held for everything below.
  std::mutex mutex;
  std::array<Queue, kQueueTypes> queues;
  EventQueue events;
  v4l2_priority priority = V4L2_PRIORITY_DEFAULT;
  // Changes with every wake-up: what edge-triggered polling compares.
  std::atomic<uint64_t> generation = 0;
  // By handle.
  std::map<uint32_t, std::shared_ptr<RequestState>> requests;
  // Number of the last ioctl; it shows in a reserved word of CLOSE.
  uint32_t last_code = 0;

  // Counts and wakes; with `mutex` held.
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
