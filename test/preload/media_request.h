// A media request of the program: a descriptor here, a handle on the wire (docs/stateless.md).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "device.h"

namespace preload {

// What a session knows of a request.
struct RequestState {
  enum Value { kIdle, kQueued, kComplete };
  std::atomic<Value> value = kIdle;
  std::atomic<uint64_t> wakes = 0;
};

class MediaRequest : public OpenFile {
 public:
  explicit MediaRequest(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  ~MediaRequest() override;

  // MEDIA_REQUEST_IOC_QUEUE and _REINIT.
  int ioctl(unsigned request, void* argument, bool non_blocking) override;
  // As media_request_poll answers.
  short readiness(short wanted) override;
  uint64_t wakes() const override { return state_->wakes; }
  int access() const override { return 0; }

  const Device& device() const { return *device_; }
  // The handle in a session. MEDIA_IOC_REQUEST_ALLOC names no file of a node: it is allocated where it is first used,
  // and is of that session until it has ended. A negative errno or 0.
  int handle_in(Session& session, uint32_t* handle);

 private:
  int queue();
  int reinit();

  const std::shared_ptr<Device> device_;
  const std::shared_ptr<RequestState> state_ = std::make_shared<RequestState>();
  std::mutex mutex_;
  std::weak_ptr<Session> session_;
  uint32_t handle_ = 0;
};

// A request_fd of the program becomes the handle of its request. A negative errno or 0; `state` may be null.
int to_handle(Session& session, int32_t& request_fd, std::shared_ptr<RequestState>* state = nullptr);

// An OUTPUT buffer has come back: its request is complete. With the session's mutex held.
void complete_request(Session& session, const v4l2_buffer& buffer);

// The OUTPUT queue is stopped: the requests that are queued are complete. With the session's mutex held.
void complete_requests(Session& session);

// What the device refuses with `busy` of a request that is complete here: the buffer may come back a moment before the
// host's driver has completed the request. Tried again for a second.
int settled(const RequestState& state, int busy, const std::function<int()>& attempt);

}  // namespace preload
