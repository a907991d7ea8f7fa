#include "frame_plan.h"

#include <errno.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace vmb {

namespace {

constexpr uint32_t kDequeueEvent = 1;
/** Bits that the host kernel sets and that mean something else to the guest. */
constexpr uint32_t kHidden = V4L2_BUF_FLAG_REQUEST_FD | V4L2_BUF_FLAG_IN_REQUEST | V4L2_BUF_FLAG_MAPPED;

int Ioctl(int fd, unsigned long request, v4l2_buffer& buffer) {
  int result;
  do {
    result = ioctl(fd, request, &buffer);
  } while (result < 0 && errno == EINTR);
  return result < 0 ? errno : 0;
}

/** A copy of the fields, with the rest and the padding zero. */
v4l2_buffer Fields(const v4l2_buffer& from) {
  v4l2_buffer to;
  std::memset(&to, 0, sizeof to);
  to.index = from.index;
  to.type = from.type;
  to.bytesused = from.bytesused;
  to.flags = from.flags;
  to.field = from.field;
  to.timestamp = from.timestamp;
  to.timecode = from.timecode;
  to.sequence = from.sequence;
  to.memory = from.memory;
  to.length = from.length;
  return to;
}

}  // namespace

bool FramePlan::Plans(const v4l2_buffer& guest) const {
  if (guest.type != options_.type || guest.memory != options_.guest_memory) return false;
  if (guest.index >= options_.buffers.size() || (guest.flags & V4L2_BUF_FLAG_REQUEST_FD) != 0) return false;
  const size_t planes = options_.buffers[guest.index].planes.size();
  if (planes == 0) return false;
  return !is_multiplanar() || (guest.length >= planes && guest.length <= VIDEO_MAX_PLANES);
}

v4l2_buffer FramePlan::HostRecord(const v4l2_buffer& guest, Planes& planes) const {
  const auto& own = options_.buffers[guest.index].planes;
  v4l2_buffer host = Fields(guest);
  host.flags &= options_.guest_flags;
  host.memory = options_.host_memory;
  const auto address = [](const Plane& plane) {
    return plane.memory == nullptr ? 0 : reinterpret_cast<unsigned long>(plane.memory->data() + plane.at);
  };
  if (!is_multiplanar()) {
    host.length = own[0].length;
    host.m.userptr = address(own[0]);
    return host;
  }
  host.length = static_cast<uint32_t>(own.size());
  for (size_t i = 0; i < own.size(); i++) {
    v4l2_plane plane;
    std::memset(&plane, 0, sizeof plane);
    plane.bytesused = planes[i].bytesused;
    plane.length = own[i].length;
    plane.m.userptr = address(own[i]);
    plane.data_offset = planes[i].data_offset;
    planes[i] = plane;
  }
  host.m.planes = planes.data();
  return host;
}

void FramePlan::GuestRecord(const v4l2_buffer& guest, v4l2_buffer& host, Planes& planes) const {
  const Buffer& own = options_.buffers[guest.index];
  host = Fields(host);
  host.flags = (host.flags & ~kHidden) | (own.mapped ? V4L2_BUF_FLAG_MAPPED : 0);
  host.memory = options_.guest_memory;
  host.m.userptr = is_multiplanar() ? guest.m.userptr : own.planes[0].mmap_offset;
  for (size_t i = 0; is_multiplanar() && i < own.planes.size(); i++)
    planes[i].m.userptr = own.planes[i].mmap_offset;
}

bool FramePlan::Drain(int fd) {
  Next next = Next::kSent;
  while (next == Next::kSent && !options_.queued.empty()) next = DrainOne(fd);
  return next != Next::kLoop;
}

/** The promise of a descriptor first, then DQBUF. */
FramePlan::Next FramePlan::DrainOne(int fd) {
  SplitRing& events = *options_.events;
  {
    const std::lock_guard lock(events.mutex);
    if (!untold_.empty() || !events.Promise()) return Next::kLoop;
  }
  v4l2_buffer frame;
  Planes planes;
  std::memset(&frame, 0, sizeof frame);
  std::memset(planes.data(), 0, sizeof planes);
  frame.type = options_.type;
  frame.memory = options_.host_memory;
  if (is_multiplanar()) {
    frame.length = VIDEO_MAX_PLANES;
    frame.m.planes = planes.data();
  }
  const int error = Ioctl(fd, VIDIOC_DQBUF, frame);
  const auto queued = std::find(options_.queued.begin(), options_.queued.end(), frame.index);
  if (error != 0 || queued == options_.queued.end()) {
    const std::lock_guard lock(events.mutex);
    events.TakePromise();
    // Every other errno tells something of the queue. A buffer that is not queued is nobody's (v4l2loopback).
    return error == 0 ? Next::kSent : error == EAGAIN ? Next::kNothing : Next::kLoop;
  }
  options_.queued.erase(queued);
  last_ = Fields(frame);
  has_last_ = true;
  const FrameEvent event = EventOf(frame, planes);
  if (Send(event)) return Next::kSent;
  untold_.push_back(event);
  return Next::kLoop;
}

FrameEvent FramePlan::EventOf(const v4l2_buffer& frame, const Planes& planes) const {
  FrameEvent event;
  std::memset(&event, 0, sizeof event);
  event.event = kDequeueEvent;
  event.session = options_.session;
  event.buffer = Fields(frame);
  const bool mapped = options_.buffers[frame.index].mapped;
  event.buffer.flags = (frame.flags & ~(kHidden | V4L2_BUF_FLAG_QUEUED | V4L2_BUF_FLAG_DONE)) |
                       (mapped ? V4L2_BUF_FLAG_MAPPED : 0);
  event.buffer.memory = options_.guest_memory;
  const uint32_t count = is_multiplanar() ? std::min<uint32_t>(frame.length, VIDEO_MAX_PLANES) : 0;
  for (uint32_t i = 0; i < count; i++) {
    event.planes[i] = planes[i];
    event.planes[i].m.userptr = 0;
  }
  return event;
}

/** Descriptors that are too small go back empty, because a part of an event would be useless. */
bool FramePlan::Send(const FrameEvent& event) {
  constexpr uint64_t kFewDescriptors = 64;
  const std::span<const uint8_t> parts[] = {{reinterpret_cast<const uint8_t*>(&event), sizeof event}};
  SplitRing& ring = *options_.events;
  const std::lock_guard lock(ring.mutex);
  ring.TakePromise();
  bool sent = false;
  for (uint64_t limit = kFewDescriptors; !sent && limit > 0;) {
    const SplitRing::Found found = ring.Walk(limit);
    if (found == SplitRing::Found::kMalformed) {
      ring.Refuse();
    } else if (found == SplitRing::Found::kChain) {
      const Chain chain = ring.Take();
      sent = chain.writable_bytes >= sizeof event && chain.Reply(*ring.table(), parts) == sizeof event;
      ring.Push(chain, sent ? sizeof event : 0);
    } else {
      break;
    }
  }
  if (auto call = ring.TakeCall()) call_ = std::move(call);
  return sent;
}

}  // namespace vmb
