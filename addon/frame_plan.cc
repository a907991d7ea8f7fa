#include "frame_plan.h"

#include <errno.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "ioctl.h"

namespace vmb {

namespace {

/** EVT_DQBUF: always sent whole. */
struct FrameEvent {
  uint32_t event = 1;
  uint32_t session;
  v4l2_buffer buffer;
  FramePlan::Planes planes;
};
static_assert(sizeof(FrameEvent) == 608);

/** EVT_EVENT. */
struct SessionEvent {
  uint32_t event = 2;
  uint32_t session;
  v4l2_event v4l2;
};
static_assert(sizeof(SessionEvent) == 144);

/** Descriptors of the eventq that are looked at for one event. */
constexpr uint64_t kFewDescriptors = 64;

template <typename Record>
std::span<const uint8_t> BytesOf(const Record& record) {
  return {reinterpret_cast<const uint8_t*>(&record), sizeof record};
}

/** A copy of the fields, with the rest and the padding zero. */
v4l2_event Fields(const v4l2_event& from) {
  v4l2_event to;
  std::memset(&to, 0, sizeof to);
  to.type = from.type;
  std::memcpy(&to.u, &from.u, sizeof to.u);
  to.pending = from.pending;
  to.sequence = from.sequence;
  to.timestamp = from.timestamp;
  to.id = from.id;
  std::memcpy(to.reserved, from.reserved, sizeof to.reserved);
  return to;
}

}  // namespace

FramePlan::Queue* FramePlan::Find(const v4l2_buffer& guest) {
  if ((guest.flags & V4L2_BUF_FLAG_REQUEST_FD) != 0) return nullptr;
  for (Queue& queue : options_.queues) {
    if (guest.type != queue.type) continue;
    if (guest.memory != queue.guest_memory || guest.index >= queue.buffers.size()) return nullptr;
    const size_t planes = queue.buffers[guest.index].planes.size();
    const bool fits = !queue.is_multiplanar() || (guest.length >= planes && guest.length <= VIDEO_MAX_PLANES);
    return planes > 0 && fits ? &queue : nullptr;
  }
  return nullptr;
}

v4l2_buffer FramePlan::Queue::HostRecord(const v4l2_buffer& guest, Planes& planes) const {
  const auto& own = buffers[guest.index].planes;
  std::array<uint32_t, VIDEO_MAX_PLANES> lengths;
  for (size_t i = 0; i < own.size(); i++) lengths[i] = own[i].length;
  const auto used = std::span(planes).first(is_multiplanar() ? own.size() : 0);
  v4l2_buffer host = guest;
  ToHost(host, used, {host_memory, guest_flags, std::span(lengths).first(own.size())});
  const auto address = [](const Plane& plane) {
    return plane.memory == nullptr ? 0 : reinterpret_cast<unsigned long>(plane.memory->data() + plane.at);
  };
  if (used.empty()) {
    host.m.userptr = address(own[0]);
  } else {
    for (size_t i = 0; i < own.size(); i++) used[i].m.userptr = address(own[i]);
    host.m.planes = planes.data();
  }
  return host;
}

void FramePlan::Queue::GuestRecord(const v4l2_buffer& guest, v4l2_buffer& host, Planes& planes) const {
  const Buffer& own = buffers[guest.index];
  const auto used = std::span(planes).first(is_multiplanar() ? own.planes.size() : 0);
  std::array<GuestPlane, VIDEO_MAX_PLANES> seen;
  for (size_t i = 0; i < own.planes.size(); i++)
    seen[i] = {own.planes[i].mmap_offset, used.empty() ? host.length : used[i].length};
  const uint32_t mapped = own.mapped ? V4L2_BUF_FLAG_MAPPED : 0;
  ToGuest(host, used,
          {guest_memory, 0, mapped, 0, false, guest.m.userptr, std::span(seen).first(own.planes.size())});
}

void FramePlan::Queue::EventRecord(v4l2_buffer& frame, std::span<v4l2_plane> planes) const {
  for (v4l2_plane& plane : planes) plane.m.userptr = 0;
  const uint32_t mapped = buffers[frame.index].mapped ? V4L2_BUF_FLAG_MAPPED : 0;
  ToGuest(frame, planes, {guest_memory, 0, mapped, 0, true, 0, {}});
}

bool FramePlan::Drain(int fd) {
  if (!SendEvents(fd, false)) return false;
  for (;;) {
    const Next next = Collect(fd);
    SendGroup(fd);
    if (next == Next::kLoop || !untold_.empty()) return false;
    if (next == Next::kNothing) return true;
  }
}

bool FramePlan::Promise() {
  const std::lock_guard lock(options_.events->mutex);
  return untold_.empty() && options_.events->Promise();
}

void FramePlan::TakePromise() {
  const std::lock_guard lock(options_.events->mutex);
  options_.events->TakePromise();
}

/**
 * One buffer of the only queue. Of two queues, everything that is ready: a job of a mem-to-mem device ends with two
 * buffers, and a program of the host finds both ready in one poll.
 */
FramePlan::Next FramePlan::Collect(int fd) {
  Queue& last = options_.queues.back();
  if (options_.queues.size() == 1) return Take(fd, last, lasts_, false);
  // A job may end between two looks, so the end is a look at both that finds nothing.
  for (size_t before = SIZE_MAX; before != firsts_.size() + lasts_.size();) {
    before = firsts_.size() + lasts_.size();
    if (Take(fd, last, lasts_, false) == Next::kLoop) return Next::kLoop;
    if (TakeFirsts(fd) == Next::kLoop) return Next::kLoop;
  }
  return Next::kNothing;
}

/** Those that are told before one that is out of the kernel need no descriptor. */
FramePlan::Next FramePlan::TakeFirsts(int fd) {
  Next next = Next::kTaken;
  while (next == Next::kTaken)
    next = Take(fd, options_.queues.front(), firsts_, firsts_.size() < lasts_.size());
  return next;
}

/** The promise of a descriptor first, then DQBUF. `ahead`: the buffer is told before one that is out of the kernel. */
FramePlan::Next FramePlan::Take(int fd, Queue& queue, Group& group, bool ahead) {
  while (!queue.queued.empty()) {
    Taken taken{&queue, {}, {}, Promise()};
    if (!taken.promised && !ahead) return Next::kLoop;
    std::memset(&taken.frame, 0, sizeof taken.frame);
    std::memset(taken.planes.data(), 0, sizeof taken.planes);
    taken.frame.type = queue.type;
    taken.frame.memory = queue.host_memory;
    if (queue.is_multiplanar()) {
      taken.frame.length = VIDEO_MAX_PLANES;
      taken.frame.m.planes = taken.planes.data();
    }
    const int error = Ioctl(fd, VIDIOC_DQBUF, &taken.frame);
    const auto queued = std::find(queue.queued.begin(), queue.queued.end(), taken.frame.index);
    if (error == 0 && queued != queue.queued.end()) {
      queue.queued.erase(queued);
      queue.last_frame = Fields(taken.frame);
      queue.has_last_frame = true;
      group.push_back(taken);
      return Next::kTaken;
    }
    if (taken.promised) TakePromise();
    // Every other errno tells something of the queue. A buffer that is not queued is nobody's (v4l2loopback).
    if (error != 0) return error == EAGAIN ? Next::kNothing : Next::kLoop;
  }
  return Next::kNothing;
}

/**
 * The buffers of a job are told side by side, the first queue's before the last one's. What the last queue has more was
 * made by jobs whose other buffer is told already.
 */
void FramePlan::SendGroup(int fd) {
  const bool ends = std::any_of(lasts_.begin(), lasts_.end(), [](const Taken& taken) {
    return (taken.frame.flags & V4L2_BUF_FLAG_LAST) != 0;
  });
  // SOURCE_CHANGE and EOS go before the buffer with the LAST flag.
  if (ends) SendEvents(fd, true);
  const size_t alone = lasts_.size() - std::min(firsts_.size(), lasts_.size());
  for (size_t i = 0; i < alone; i++) Send(lasts_[i]);
  for (size_t i = 0; i < firsts_.size(); i++) {
    Send(firsts_[i]);
    if (alone + i < lasts_.size()) Send(lasts_[alone + i]);
  }
  firsts_.clear();
  lasts_.clear();
}

void FramePlan::Send(const Taken& taken) {
  const auto& [queue, frame, planes, promised] = taken;
  FrameEvent event;
  event.session = options_.session;
  event.buffer = frame;
  std::memset(event.planes.data(), 0, sizeof event.planes);
  const uint32_t count = queue->is_multiplanar() ? std::min<uint32_t>(frame.length, VIDEO_MAX_PLANES) : 0;
  std::copy_n(planes.begin(), count, event.planes.begin());
  queue->EventRecord(event.buffer, std::span(event.planes).first(count));
  Send(BytesOf(event), promised);
}

/** V4L2 events. `ahead`: those that are ready now, before a buffer that is out of the kernel. False: no descriptor. */
bool FramePlan::SendEvents(int fd, bool ahead) {
  uint32_t left = options_.subscribed ? std::numeric_limits<uint32_t>::max() : 0;
  while (left > 0) {
    const bool promised = Promise();
    if (!promised && !ahead) return false;
    v4l2_event read;
    std::memset(&read, 0, sizeof read);
    if (Ioctl(fd, VIDIOC_DQEVENT, &read) != 0) {
      if (promised) TakePromise();
      return true;
    }
    // A fast source of events must not keep the buffer back.
    if (ahead) left = std::min(left - 1, read.pending);
    SessionEvent event;
    event.session = options_.session;
    event.v4l2 = Fields(read);
    Send(BytesOf(event), promised);
  }
  return true;
}

void FramePlan::Send(std::span<const uint8_t> event, bool promised) {
  if (promised && untold_.empty() && Push(event)) return;
  if (promised && !untold_.empty()) TakePromise();
  untold_.emplace_back(event.begin(), event.end());
}

/** Uses a promise up. Descriptors that are too small go back empty, because a part of an event would be useless. */
bool FramePlan::Push(std::span<const uint8_t> event) {
  const std::span<const uint8_t> parts[] = {event};
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
      sent = chain.writable_bytes >= event.size() && chain.Reply(*ring.table(), parts) == event.size();
      ring.Push(chain, sent ? static_cast<uint32_t>(event.size()) : 0);
    } else {
      break;
    }
  }
  if (auto call = ring.TakeCall()) call_ = std::move(call);
  return sent;
}

}  // namespace vmb
