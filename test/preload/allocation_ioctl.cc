// Ioctls that change a whole queue: allocation, streaming, drain commands.
#include <algorithm>
#include <cerrno>

#include "ioctl_table.h"
#include "media_request.h"
#include "settings.h"

namespace preload {
namespace {

// The Linux driver has no objects. It hides the capabilities that it does not support.
void hide_objects(uint32_t& capabilities) {
  if (!Settings::get().objects) capabilities &= ~V4L2_BUF_CAP_SUPPORTS_DMABUF;
}

Queue& queue_of(Call& call, uint32_t type) { return call.session.queues[type]; }

}  // namespace

int request_buffers(Call& call) {
  auto& request = call.as<v4l2_requestbuffers>();
  const uint32_t type = request.type;
  if (!has_type(call.session.device(), type)) return -EINVAL;
  memset(request.reserved, 0, sizeof request.reserved);
  const int result = forward(call);
  if (result != 0) return result;
  hide_objects(request.capabilities);
  std::lock_guard lock(call.session.mutex);
  Queue& queue = queue_of(call, type);
  if (is_output(type)) complete_requests(call.session);
  queue.clear();
  queue.buffers.assign(request.count, {});
  call.session.changed();
  return 0;
}

int create_buffers(Call& call) {
  auto& request = call.as<v4l2_create_buffers>();
  const uint32_t type = request.format.type, wanted = request.count;
  if (!has_type(call.session.device(), type)) return -EINVAL;
  memset(request.reserved, 0, sizeof request.reserved);
  const int result = forward(call);
  if (result != 0) return result;
  hide_objects(request.capabilities);
  if (wanted == 0) return 0;
  std::lock_guard lock(call.session.mutex);
  Queue& queue = queue_of(call, type);
  if (queue.buffers.empty()) queue.clear();
  const size_t end = size_t{request.index} + request.count;
  if (end > queue.buffers.size()) queue.buffers.resize(end);
  std::fill(queue.buffers.begin() + request.index, queue.buffers.begin() + end, Buffer());
  return 0;
}

int remove_buffers(Call& call) {
  const auto& request = call.as<v4l2_remove_buffers>();
  return has_type(call.session.device(), request.type) ? forward(call) : -EINVAL;
}

int stream_on(Call& call) {
  const auto type = call.as<uint32_t>();
  if (!has_type(call.session.device(), type)) return -EINVAL;
  const int result = forward(call);
  if (result != 0) return result;
  std::lock_guard lock(call.session.mutex);
  queue_of(call, type).streaming = true;
  call.session.changed();
  return 0;
}

int stream_off(Call& call) {
  const auto type = call.as<uint32_t>();
  if (!has_type(call.session.device(), type)) return -EINVAL;
  const int result = forward(call);
  if (result != 0) return result;
  std::lock_guard lock(call.session.mutex);
  if (is_output(type)) complete_requests(call.session);
  queue_of(call, type).clear();
  call.session.changed();
  return 0;
}

// START continues after a drain, so the capture queues are not at their end any more.
int coder_command(Call& call) {
  const uint32_t start = call.row.request == VIDIOC_DECODER_CMD ? V4L2_DEC_CMD_START : V4L2_ENC_CMD_START;
  const bool starts = call.as<uint32_t>() == start;
  const int result = forward(call);
  if (result != 0 || !starts) return result;
  std::lock_guard lock(call.session.mutex);
  for (const auto type : {V4L2_BUF_TYPE_VIDEO_CAPTURE, V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE})
    queue_of(call, type).last_dequeued = false;
  return 0;
}

}  // namespace preload
