// A media request of the program: a descriptor in this process, a handle on the wire (docs/stateless.md).
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

#include "device.h"

namespace preload {

// What a session knows about a request.
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
  // As media_request_poll.
  short readiness(short wanted) override;
  uint64_t wakes() const override { return state_->wakes; }
  int access() const override { return 0; }

  const Device& device() const { return *device_; }
  // Returns the handle for a session. MEDIA_IOC_REQUEST_ALLOC names no file of a node, so the handle is
  // allocated when the request is first used in a session, and belongs to that session until the session
  // ends. 0 or a negative errno.
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

// Replaces a request_fd of the program by the handle of its request. Returns 0 or a negative errno; `state`
// may be null.
int to_handle(Session& session, int32_t& request_fd, std::shared_ptr<RequestState>* state = nullptr);

// An OUTPUT buffer has come back, so its request is complete. Call with the session's mutex locked.
void complete_request(Session& session, const v4l2_buffer& buffer);

// The OUTPUT queue is stopped, so the queued requests are complete. Call with the session's mutex locked.
void complete_requests(Session& session);

// Repeats `attempt` for up to a second while the device answers `busy` for a request that is complete here:
// the buffer may come back shortly before the host's driver has completed the request.
int settled(const RequestState& state, int busy, const std::function<int()>& attempt);

}  // namespace preload
