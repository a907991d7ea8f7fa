#include "session.h"

#include <cerrno>
#include <fcntl.h>
#include <poll.h>

#include "core.h"
#include "device.h"
#include "media_request.h"
#include "settings.h"
#include "waiter.h"

namespace preload {
namespace {

constexpr short kIn = POLLIN | POLLRDNORM, kOut = POLLOUT | POLLWRNORM;
constexpr uint32_t kEventBytes = 8 + sizeof(v4l2_event);

}  // namespace

bool is_multiplanar(uint32_t type) { return V4L2_TYPE_IS_MULTIPLANAR(type); }

bool is_output(uint32_t type) { return V4L2_TYPE_IS_OUTPUT(type); }

void Queue::clear() {
  done.clear();
  for (Buffer& buffer : buffers) buffer.queued = buffer.prepared = false, buffer.request = 0;
  queued = 0;
  streaming = last_dequeued = false;
  waits_for_buffers = true;
}

std::shared_ptr<Session> Session::open(std::shared_ptr<Device> device, int flags, int* error) {
  uint32_t id;
  *error = device->driver().open(&id);
  if (*error != 0) return nullptr;
  std::shared_ptr<Session> session(new Session(device, id, flags & O_ACCMODE));
  device->add(session.get());
  return session;
}

Session::Session(std::shared_ptr<Device> device, uint32_t id, int access)
    : device_(std::move(device)), id_(id), access_(access) {
  device_->priorities().add(priority);
}

Session::~Session() {
  complete_requests(*this);
  device_->remove(this);
  device_->priorities().remove(priority);
  device_->driver().close(id_, last_code);
}

int Session::ioctl(unsigned request, void* argument, bool non_blocking) {
  return core_ioctl(*this, request, argument, non_blocking);
}

void Session::changed() {
  generation++;
  Waiter::wake_all();
}

void Session::handle(const wire::Event& event, uint32_t bytes) {
  std::lock_guard lock(mutex);
  if (event.kind == wire::kDqbuf && bytes >= sizeof event) return handle_dqbuf(event);
  if (event.kind == wire::kEvent && bytes >= kEventBytes) {
    trace("session %u event type %u id %#x", id_, event.event.type, event.event.id);
    events.push(event.event);
    return changed();
  }
  complain("session %u: an event of kind %u with %u bytes", id_, event.kind, bytes);
}

void Session::handle_dqbuf(const wire::Event& event) {
  const v4l2_buffer& buffer = event.dqbuf.buffer;
  trace("session %u done type %u index %u sequence %u flags %#x", id_, buffer.type, buffer.index, buffer.sequence,
        buffer.flags);
  if (buffer.type >= kQueueTypes || buffer.index >= queues[buffer.type].buffers.size() ||
      (is_multiplanar(buffer.type) && buffer.length > VIDEO_MAX_PLANES)) {
    complain("session %u: no such buffer: type %u index %u", id_, buffer.type, buffer.index);
    return;
  }
  Queue& queue = queues[buffer.type];
  if (!queue.buffers[buffer.index].queued) {
    complain("session %u: buffer type %u index %u came back and was not queued", id_, buffer.type, buffer.index);
    return;
  }
  if (is_output(buffer.type)) complete_request(*this, buffer);
  queue.buffers[buffer.index].queued = false;
  queue.buffers[buffer.index].request = 0;
  queue.done.push_back(event);
  changed();
}

short Session::readiness(short wanted) {
  std::lock_guard lock(mutex);
  const short urgent = events.pending() ? POLLPRI : 0;
  const short data = device_->is_m2m() ? poll_m2m(wanted) : poll_queue(wanted);
  return static_cast<short>((urgent | data) & (wanted | POLLERR | POLLHUP));
}

// As vb2_core_poll.
short Session::poll_queue(short wanted) {
  uint32_t type = device_->is_output() ? V4L2_BUF_TYPE_VIDEO_OUTPUT : V4L2_BUF_TYPE_VIDEO_CAPTURE;
  for (uint32_t each = 1; each < kQueueTypes; each++)
    if (!queues[each].buffers.empty()) type = each;
  const Queue& queue = queues[type];
  const short ready = is_output(type) ? kOut : kIn;
  if (!(wanted & ready)) return 0;
  if (!queue.streaming || (!is_output(type) && queue.waits_for_buffers)) return POLLERR;
  return !queue.done.empty() || queue.last_dequeued ? ready : 0;
}

// As v4l2_m2m_poll.
short Session::poll_m2m(short wanted) {
  if (!(wanted & (kIn | kOut))) return 0;
  const auto of = [&](uint32_t single, uint32_t multi) -> const Queue& {
    return queues[queues[multi].buffers.empty() ? single : multi];
  };
  const Queue& out = of(V4L2_BUF_TYPE_VIDEO_OUTPUT, V4L2_BUF_TYPE_VIDEO_OUTPUT_MPLANE);
  const Queue& in = of(V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE);
  const bool out_idle = !out.streaming || out.queued == 0;
  const bool in_idle = !in.streaming || (in.queued == 0 && !in.last_dequeued);
  if (out_idle && in_idle) return POLLERR;
  return static_cast<short>((out.done.empty() ? 0 : kOut) | (in.done.empty() && !in.last_dequeued ? 0 : kIn));
}

}  // namespace preload
