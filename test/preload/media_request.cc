#include "media_request.h"

#include <cerrno>
#include <ctime>
#include <linux/media.h>

#include "files.h"
#include "settings.h"
#include "waiter.h"

namespace preload {
namespace {

constexpr int kAttempts = 1000;
constexpr timespec kPause = {0, 1'000'000};

int tell(Session& session, wire::RequestCode code, uint32_t& handle) {
  const bool allocates = code == wire::kRequestAlloc;
  const Part payload[] = {{&handle, sizeof handle, allocates ? Part::kFromDevice : Part::kToDevice}};
  session.last_code = code;
  const size_t least = sizeof(wire::ResponseHeader) + (allocates ? sizeof handle : 0);
  return session.device().driver().ioctl(session.id(), code, payload, {least, 0});
}

void change(RequestState& state, RequestState::Value value) {
  state.value = value;
  state.wakes++;
  Waiter::wake_all();
}

// Counts the buffers of a request as queued (`by` 1), or no longer (-1).
void count(Session& session, uint32_t handle, int by) {
  std::lock_guard lock(session.mutex);
  for (Queue& queue : session.queues)
    for (const Buffer& buffer : queue.buffers)
      if (buffer.request == handle) queue.queued += static_cast<unsigned>(by);
}

// Gives the buffers of the request back to the program. They have not been queued.
void take_out(Session& session, uint32_t handle) {
  std::lock_guard lock(session.mutex);
  for (Queue& queue : session.queues)
    for (Buffer& buffer : queue.buffers)
      if (buffer.request == handle) buffer.queued = false, buffer.request = 0;
}

}  // namespace

MediaRequest::~MediaRequest() {
  const auto session = session_.lock();
  if (!session) return;
  // A request that is queued is carried out even if its descriptor is closed.
  if (state_->value != RequestState::kQueued) take_out(*session, handle_);
  const int result = tell(*session, wire::kRequestClose, handle_);
  if (result != 0) complain("REQUEST_CLOSE of handle %u: errno %d", handle_, -result);
  std::lock_guard lock(session->mutex);
  session->requests.erase(handle_);
}

int MediaRequest::handle_in(Session& session, uint32_t* handle) {
  std::lock_guard lock(mutex_);
  const auto own = session_.lock();
  if (!own) {
    const int result = tell(session, wire::kRequestAlloc, handle_);
    // The device has no request handles. The errno is the kernel's for drivers without requests.
    if (result != 0) return result == -ENOTTY ? -EBADR : result;
    session_ = session.weak_from_this();
    std::lock_guard also(session.mutex);
    if (handle_ == 0 || session.requests.contains(handle_)) complain("REQUEST_ALLOC gave handle %u", handle_);
    session.requests[handle_] = state_;
  } else if (own.get() != &session) {
    return -EINVAL;
  }
  *handle = handle_;
  return 0;
}

int MediaRequest::ioctl(unsigned request, void*, bool) {
  const bool queues = request == static_cast<unsigned>(MEDIA_REQUEST_IOC_QUEUE);
  if (!queues && request != static_cast<unsigned>(MEDIA_REQUEST_IOC_REINIT)) return -ENOTTY;
  std::lock_guard lock(mutex_);
  const int result = queues ? queue() : reinit();
  trace("request %u %s = %d", handle_, queues ? "QUEUE" : "REINIT", result);
  return result;
}

// A request that was never used with a file of a node is empty.
int MediaRequest::queue() {
  const auto session = session_.lock();
  RequestState::Value before = RequestState::kIdle;
  if (!session) return state_->value == before ? -ENOENT : -EBUSY;
  // Set before the command is sent, because the buffer may come back before the answer is processed.
  const bool first = state_->value.compare_exchange_strong(before, RequestState::kQueued);
  if (first) count(*session, handle_, 1);
  const int result = tell(*session, wire::kRequestQueue, handle_);
  if (result == 0 && !first) complain("REQUEST_QUEUE of handle %u, which was queued already", handle_);
  if (result == 0 || !first) return result;
  count(*session, handle_, -1);
  change(*state_, RequestState::kIdle);
  return result;
}

int MediaRequest::reinit() {
  if (const auto session = session_.lock()) {
    const int result =
        settled(*state_, -EBUSY, [&] { return tell(*session, wire::kRequestReinit, handle_); });
    if (result != 0) return result;
    take_out(*session, handle_);
  }
  change(*state_, RequestState::kIdle);
  return 0;
}

short MediaRequest::readiness(short wanted) {
  if (!(wanted & POLLPRI)) return 0;
  switch (state_->value) {
    case RequestState::kComplete: return POLLPRI;
    case RequestState::kQueued: return 0;
    default: return POLLERR;
  }
}

int to_handle(Session& session, int32_t& request_fd, std::shared_ptr<RequestState>* state) {
  const auto request = std::dynamic_pointer_cast<MediaRequest>(file_of(request_fd));
  if (!request || &request->device() != &session.device()) return -EINVAL;
  uint32_t handle;
  if (const int result = request->handle_in(session, &handle); result != 0) return result;
  request_fd = static_cast<int32_t>(handle);
  if (!state) return 0;
  std::lock_guard lock(session.mutex);
  *state = session.requests[handle];
  return 0;
}

void complete_request(Session& session, const v4l2_buffer& buffer) {
  if (!session.device().has_media()) return;
  const uint32_t expected = session.queues[buffer.type].buffers[buffer.index].request;
  const uint32_t handle = buffer.flags & V4L2_BUF_FLAG_REQUEST_FD ? static_cast<uint32_t>(buffer.request_fd) : 0;
  if (handle != expected) complain("buffer %u came back with handle %u, not %u", buffer.index, handle, expected);
  const auto found = session.requests.find(handle);
  if (found == session.requests.end()) return;
  if (found->second->value == RequestState::kQueued) change(*found->second, RequestState::kComplete);
}

void complete_requests(Session& session) {
  for (const auto& [handle, state] : session.requests)
    if (state->value == RequestState::kQueued) change(*state, RequestState::kComplete);
}

int settled(const RequestState& state, int busy, const std::function<int()>& attempt) {
  int result = attempt();
  for (int i = 0; i < kAttempts && result == busy && state.value == RequestState::kComplete; i++) {
    nanosleep(&kPause, nullptr);
    result = attempt();
  }
  return result;
}

}  // namespace preload
