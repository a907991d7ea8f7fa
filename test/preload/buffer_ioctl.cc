// Ioctls on one buffer: QUERYBUF, QBUF, PREPARE_BUF with what follows the planes, DQBUF from events, EXPBUF.
#include <algorithm>
#include <cerrno>

#include "ioctl_table.h"
#include "media_request.h"
#include "objects.h"
#include "settings.h"
#include "user_pages.h"
#include "waiter.h"

namespace preload {
namespace {

constexpr Judgement kJudgement = {sizeof(wire::ResponseHeader) + sizeof(v4l2_buffer), 0};

// The data that follows the planes.
struct Following {
  std::vector<wire::SgEntry> pages;
  std::vector<uint8_t> uuids;
};

int list_pages(Call& call, Following& following) {
  auto& buffer = call.as<v4l2_buffer>();
  GuestRam& ram = *GuestRam::get();
  const auto list = [&](uint64_t user, uint32_t& length) {
    // As the Linux driver: without an address the length is 0.
    if (user == 0) length = 0;
    return length == 0 ? 0 : list_user_pages(ram, user, length, following.pages);
  };
  if (!is_multiplanar(buffer.type)) return list(buffer.m.userptr, buffer.length);
  for (auto* plane = call.array_of<v4l2_plane>(); plane < call.array_of<v4l2_plane>() + buffer.length; plane++) {
    const int result = list(plane->m.userptr, plane->length);
    if (result != 0) return result;
  }
  return 0;
}

int list_objects(Call& call, Following& following) {
  const auto& buffer = call.as<v4l2_buffer>();
  const auto add = [&](int fd) {
    static const Object none = {};
    const Object* object = find_object(fd);
    const auto& uuid = (object ? object : &none)->uuid;
    following.uuids.insert(following.uuids.end(), std::begin(uuid), std::end(uuid));
    // QUERYBUF needs no object: for any other descriptor the nil UUID is sent.
    return object || call.row.request == VIDIOC_QUERYBUF ? 0 : -EINVAL;
  };
  if (!is_multiplanar(buffer.type)) return add(buffer.m.fd);
  for (uint32_t i = 0; i < buffer.length; i++)
    if (const int result = add(call.array_of<v4l2_plane>()[i].m.fd); result != 0) return result;
  return 0;
}

// Restores the lengths that the Linux driver sets to 0 if there is no address. A kernel's node does not
// change them.
class PlaneLengths {
 public:
  explicit PlaneLengths(Call& call) : call_(call), planes_(call.array.size() / sizeof(v4l2_plane)) {
    for (size_t i = 0; i < planes_.size(); i++) planes_[i] = call.array_of<v4l2_plane>()[i].length;
  }
  void restore() {
    for (size_t i = 0; i < planes_.size(); i++) call_.array_of<v4l2_plane>()[i].length = planes_[i];
  }

 private:
  Call& call_;
  std::vector<uint32_t> planes_;
};

int send(Call& call) {
  auto& buffer = call.as<v4l2_buffer>();
  if (!has_type(call.session.device(), buffer.type)) return -EINVAL;
  Following following;
  PlaneLengths lengths(call);
  int result = 0;
  if (buffer.memory == V4L2_MEMORY_USERPTR) result = list_pages(call, following);
  if (buffer.memory == V4L2_MEMORY_DMABUF && Settings::get().objects) result = list_objects(call, following);
  if (result != 0) return result;
  std::vector<Part> rest;
  if (!following.pages.empty())
    rest.push_back({following.pages.data(), sizeof(wire::SgEntry) * following.pages.size(), Part::kToDevice});
  if (!following.uuids.empty()) rest.push_back({following.uuids.data(), following.uuids.size(), Part::kBoth});
  v4l2_plane* const user = buffer.m.planes;
  const bool planes = !call.array.empty();
  if (planes) buffer.m.planes = call.array_of<v4l2_plane>();
  result = forward(call, rest, kJudgement);
  if (planes) buffer.m.planes = user;
  if (result != 0) lengths.restore();
  return result;
}

// Puts the program's request descriptor into the answer, as the program gave it at QBUF.
void show_request(Call& call, int32_t request_fd) {
  auto& buffer = call.as<v4l2_buffer>();
  if (call.session.device().has_media())
    buffer.request_fd = buffer.flags & V4L2_BUF_FLAG_REQUEST_FD ? request_fd : 0;
}

// As `send`, for QBUF. `handle`: receives the handle of the request that the buffer is queued to; 0: none.
int send_in_request(Call& call, uint32_t* handle) {
  auto& buffer = call.as<v4l2_buffer>();
  const int32_t request_fd = buffer.request_fd;
  *handle = 0;
  if (!call.session.device().has_media() || !(buffer.flags & V4L2_BUF_FLAG_REQUEST_FD)) return send(call);
  int result = to_handle(call.session, buffer.request_fd);
  if (result != 0) return result;
  *handle = static_cast<uint32_t>(buffer.request_fd);
  result = send(call);
  if (result == 0 && static_cast<uint32_t>(buffer.request_fd) != *handle)
    complain("QBUF to handle %u answers handle %d", *handle, buffer.request_fd);
  show_request(call, request_fd);
  return result;
}

void keep(Buffer& buffer, Call& call) {
  buffer.kept = call.as<v4l2_buffer>();
  buffer.has_memory = true;
  memcpy(buffer.planes, call.array.data(), call.array.size());
}

// Copies the memory that the buffer has to the record that the program gives or gets.
void tell_memory(const Buffer& buffer, Call& call) {
  if (!buffer.has_memory) return;
  if (!is_multiplanar(buffer.kept.type)) call.as<v4l2_buffer>().m = buffer.kept.m;
  for (size_t i = 0; i < call.array.size() / sizeof(v4l2_plane); i++)
    call.array_of<v4l2_plane>()[i].m = buffer.planes[i].m;
}

Buffer* find(Session& session, uint32_t type, uint32_t index) {
  if (type >= kQueueTypes || index >= session.queues[type].buffers.size()) return nullptr;
  return &session.queues[type].buffers[index];
}

// Fills in the record that the program gets: the values of the event, and `m` as it was queued. Returns 0 or
// a negative errno.
int hand_over(Call& call, Queue& queue) {
  auto& out = call.as<v4l2_buffer>();
  const auto& [buffer, planes] = queue.done.front().dqbuf;
  const Buffer& kept = queue.buffers[buffer.index];
  v4l2_plane* const user = out.m.planes;
  const uint32_t room = out.length;
  if (is_multiplanar(buffer.type) && (!user || room < buffer.length)) return -EINVAL;
  out = buffer;
  out.flags &= ~V4L2_BUF_FLAG_DONE;
  if (!is_multiplanar(buffer.type)) {
    out.m = kept.kept.m;
  } else {
    out.m.planes = user;
    for (uint32_t i = 0; i < buffer.length; i++) {
      v4l2_plane& plane = call.array_of<v4l2_plane>()[i];
      plane = planes[i];
      plane.m = kept.planes[i].m;
    }
  }
  show_request(call, kept.kept.request_fd);
  if (!is_output(buffer.type) && (buffer.flags & V4L2_BUF_FLAG_LAST)) queue.last_dequeued = true;
  queue.done.pop_front();
  queue.queued--;
  return 0;
}

// Finds the offset of a plane in the session's mmap, and its length.
int find_plane(const Call& call, const v4l2_exportbuffer& request, off_t* offset, uint32_t* length) {
  Call query = {call.session, *find_row(VIDIOC_QUERYBUF), call.non_blocking, {}, {}};
  auto& buffer = query.as<v4l2_buffer>();
  buffer.type = request.type;
  buffer.index = request.index;
  if (is_multiplanar(request.type)) {
    buffer.length = VIDEO_MAX_PLANES;
    query.array.resize(sizeof(v4l2_plane) * VIDEO_MAX_PLANES);
  }
  if (const int result = send(query); result != 0) return result;
  const v4l2_plane* plane = query.array.empty() ? nullptr : query.array_of<v4l2_plane>() + request.plane;
  *offset = plane ? plane->m.mem_offset : buffer.m.offset;
  *length = plane ? plane->length : buffer.length;
  return 0;
}

}  // namespace

int query_buffer(Call& call) {
  const int result = send(call);
  if (result != 0) return result;
  auto& buffer = call.as<v4l2_buffer>();
  std::lock_guard lock(call.session.mutex);
  const Buffer* known = find(call.session, buffer.type, buffer.index);
  if (!known) return 0;
  if (buffer.memory != V4L2_MEMORY_MMAP) tell_memory(*known, call);
  show_request(call, known->kept.request_fd);
  // The device has given the buffer back, but the program has not dequeued it yet.
  for (const wire::Event& event : call.session.queues[buffer.type].done)
    if (event.dqbuf.buffer.index == buffer.index) buffer.flags |= V4L2_BUF_FLAG_DONE;
  return 0;
}

int prepare_buffer(Call& call) {
  const int result = send(call);
  if (result != 0) return result;
  std::lock_guard lock(call.session.mutex);
  Buffer* buffer = find(call.session, call.as<v4l2_buffer>().type, call.as<v4l2_buffer>().index);
  if (!buffer) return 0;
  keep(*buffer, call);
  buffer->prepared = true;
  return 0;
}

int queue_buffer(Call& call) {
  const auto [index, type] = std::pair(call.as<v4l2_buffer>().index, call.as<v4l2_buffer>().type);
  Session& session = call.session;
  Buffer before;
  bool first = false;
  {
    std::lock_guard lock(session.mutex);
    // Recorded before the command is sent, because the buffer may come back before the answer is processed.
    Buffer* buffer = find(session, type, index);
    if (buffer && !buffer->queued) {
      first = true;
      before = *buffer;
      if (before.prepared) tell_memory(before, call);
      keep(*buffer, call);
      buffer->queued = true;
      buffer->prepared = false;
      session.queues[type].queued++;
    }
  }
  uint32_t handle;
  const int result = send_in_request(call, &handle);
  std::lock_guard lock(session.mutex);
  Buffer* buffer = find(session, type, index);
  if (!buffer) return result;
  if (result == 0) {
    keep(*buffer, call);
    buffer->request = handle;
    // A buffer in a request is counted when the request is queued (MEDIA_REQUEST_IOC_QUEUE).
    if (first && handle != 0) session.queues[type].queued--;
    session.queues[type].waits_for_buffers = false;
    session.changed();
  } else if (first) {
    *buffer = before;
    session.queues[type].queued--;
  }
  return result;
}

// Decides as vb2_core_dqbuf does.
int dequeue_buffer(Call& call) {
  const uint32_t type = call.as<v4l2_buffer>().type;
  if (!has_type(call.session.device(), type)) return -EINVAL;
  const Waiter waiter;
  for (;;) {
    {
      std::lock_guard lock(call.session.mutex);
      Queue& queue = call.session.queues[type];
      if (!queue.streaming) return -EINVAL;
      if (queue.last_dequeued) return -EPIPE;
      if (!queue.done.empty()) return hand_over(call, queue);
    }
    if (call.non_blocking) return -EAGAIN;
    if (!waiter.wait()) return -EINTR;
  }
}

int export_buffer(Call& call) {
  if (!Settings::get().objects) return -ENOTTY;
  auto& request = call.as<v4l2_exportbuffer>();
  Object object = {};
  const Part following[] = {{object.uuid, sizeof object.uuid, Part::kBoth}};
  const Judgement judgement = {sizeof(wire::ResponseHeader) + sizeof request + sizeof object.uuid, 0};
  if (const int result = forward(call, following, judgement); result != 0) return result;
  uint32_t length = 0;
  if (const int result = find_plane(call, request, &object.offset, &length); result != 0) return result;
  object.session = call.session.weak_from_this();
  const size_t bytes = (length + kPage - 1) / kPage * kPage;
  request.fd = make_object(std::move(object), bytes, request.flags);
  return std::min(request.fd, 0);
}

}  // namespace preload
