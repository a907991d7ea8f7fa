// The VMM: a vhost-user front-end with one device.
#pragma once

#include <functional>
#include <mutex>
#include <string>

#include "virtqueue.h"
#include "window.h"

namespace preload {

class FrontEnd {
 public:
  explicit FrontEnd(GuestRam& ram) : ram_(ram) {}

  // Connects and negotiates features ("realize" in a VMM). False: an error was printed on standard error.
  bool connect(const std::string& socket);
  // Done when the guest's driver sets DRIVER_OK. From then on the queues run.
  bool start(std::span<Virtqueue* const> queues);

  uint64_t ring_features() const { return features_; }
  unsigned queue_size() const;
  Window& window() { return window_; }

  // Reads the configuration space. False: the back-end is gone.
  bool read_config(uint32_t offset, void* bytes, uint32_t count);

  // `in_use` returns whether the guest still has mappings in a part of SHM region 0. If the back-end unmaps
  // such a part, this is reported.
  void on_unmap(std::function<bool(uint64_t offset, uint64_t length)> in_use) { in_use_ = std::move(in_use); }

  // Descriptor of the back-end channel, for poll; -1: there is none.
  int channel() const { return channel_.get(); }
  // Serves one request of the back-end channel. False: the channel is closed.
  bool serve_channel();

 private:
  using Bytes = std::span<const uint8_t>;
  bool negotiate();
  bool send_channel();
  bool start_ring(const Virtqueue& queue);
  bool announce_memory();
  bool ask(wire::Request request, Bytes body, Message& reply);
  bool ask_number(wire::Request request, uint64_t* value);
  // `acknowledged`: QEMU requests an acknowledgement of this message. Other VMMs do not wait for one.
  bool tell(wire::Request request, Bytes body, std::span<const int> fds = {}, bool acknowledged = false);
  bool tell_number(wire::Request request, uint64_t value, int fd = -1);
  bool failed(wire::Request request);

  GuestRam& ram_;
  // Locked from a request to its answer, and while a request of the back-end is served. It corresponds to
  // QEMU's big lock.
  std::recursive_mutex mutex_;
  UniqueFd control_, channel_;
  uint64_t offered_ = 0, features_ = 0, protocol_ = 0;
  Window window_;
  std::function<bool(uint64_t, uint64_t)> in_use_;
  bool started_ = false;
};

}  // namespace preload
