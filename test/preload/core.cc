#include "core.h"

#include <cerrno>
#include <cstdio>
#include <linux/version.h>
#include <sys/utsname.h>

#include "ioctl_table.h"
#include "settings.h"
#include "user_memory.h"

namespace preload {
namespace {

// Address and length of the array that a payload points to.
struct ArrayPlace {
  void* user = nullptr;
  size_t bytes = 0;
};

// As check_array_args of v4l2-core. False: EINVAL.
bool find_array(Call& call, ArrayPlace* place) {
  switch (call.row.request) {
    case VIDIOC_QUERYBUF:
    case VIDIOC_QBUF:
    case VIDIOC_DQBUF:
    case VIDIOC_PREPARE_BUF: {
      const auto& buffer = call.as<v4l2_buffer>();
      if (!is_multiplanar(buffer.type) || buffer.length == 0) return true;
      if (buffer.length > VIDEO_MAX_PLANES) return false;
      *place = {buffer.m.planes, sizeof(v4l2_plane) * buffer.length};
      return true;
    }
    case VIDIOC_G_EXT_CTRLS:
    case VIDIOC_S_EXT_CTRLS:
    case VIDIOC_TRY_EXT_CTRLS: {
      const auto& controls = call.as<v4l2_ext_controls>();
      if (controls.count > V4L2_CID_MAX_CTRLS) return false;
      *place = {controls.controls, sizeof(v4l2_ext_control) * controls.count};
      return true;
    }
    case VIDIOC_G_EDID:
    case VIDIOC_S_EDID: {
      const auto& edid = call.as<v4l2_edid>();
      if (edid.blocks > 256) return false;
      *place = {edid.edid, size_t{128} * edid.blocks};
      return true;
    }
    default: return true;
  }
}

bool copy_in(Call& call, const void* argument) {
  const Row& row = call.row;
  if (!row.writes()) return true;
  return copy_from_user(call.payload, argument, row.input ? row.input : row.size());
}

int admit_and_run(Call& call) {
  const Device& device = call.session.device();
  if (!is_valid(call.row, device)) return -ENOTTY;
  if ((call.row.rules & kPriority) && !call.session.device().priorities().may_change(call.session.priority))
    return -EBUSY;
  return call.row.handler(call);
}

// As video_usercopy of v4l2-core, from the return of the handler on.
int copy_out(Call& call, int result, void* argument, const ArrayPlace& array) {
  if (result == -ENOTTY) return result;
  if (array.bytes > 0 && !copy_to_user(array.user, call.array.data(), array.bytes)) result = -EFAULT;
  const bool wanted = result == 0 || array.bytes > 0 || (call.row.rules & kAlwaysCopy);
  if (call.row.reads() && wanted && !copy_to_user(argument, call.payload, call.row.size())) return -EFAULT;
  return result;
}

}  // namespace

int core_ioctl(Session& session, unsigned request, void* argument, bool non_blocking) {
  const Row* row = find_row(request);
  if (!row) return -ENOTTY;
  Call call = {session, *row, non_blocking, {}, {}};
  if (!copy_in(call, argument)) return -EFAULT;
  ArrayPlace array;
  if (!find_array(call, &array)) return -EINVAL;
  call.array.resize(array.bytes);
  if (!copy_from_user(call.array.data(), array.user, array.bytes)) return -EFAULT;
  const int result = copy_out(call, admit_and_run(call), argument, array);
  trace("session %u %s = %d", session.id(), row->name, result);
  return result;
}

int forward(Call& call) {
  const size_t least = sizeof(wire::ResponseHeader) + (call.row.reads() ? call.row.size() : 0);
  return forward(call, {}, {least, 0});
}

int forward(Call& call, std::span<const Part> rest, Judgement judgement) {
  const Row& row = call.row;
  std::vector<Part> parts;
  const int direction = (row.writes() ? Part::kToDevice : 0) | (row.reads() ? Part::kFromDevice : 0);
  if (direction) parts.push_back({call.payload, row.size(), static_cast<Part::Direction>(direction)});
  if (!call.array.empty()) parts.push_back({call.array.data(), call.array.size(), Part::kBoth});
  for (const Part& part : rest) parts.push_back(part);
  call.session.last_code = row.nr();
  return call.session.device().driver().ioctl(call.session.id(), row.nr(), parts, judgement);
}

int query_capabilities(Call& call) {
  Device& device = call.session.device();
  auto& capability = call.as<v4l2_capability>();
  utsname name;
  unsigned a = 0, b = 0, c = 0;
  uname(&name);
  sscanf(name.release, "%u.%u.%u", &a, &b, &c);
  strcpy(reinterpret_cast<char*>(capability.driver), Settings::get().driver.c_str());
  strcpy(reinterpret_cast<char*>(capability.bus_info), "platform:virtio-media");
  // virtio_cread_bytes reads byte by byte.
  for (uint32_t i = 0; i < sizeof capability.card; i++)
    if (!device.front_end().read_config(offsetof(wire::Config, card) + i, capability.card + i, 1)) return -EIO;
  capability.version = KERNEL_VERSION(a, b, c);
  capability.device_caps = device.config().device_caps | V4L2_CAP_EXT_PIX_FORMAT;
  capability.capabilities = capability.device_caps | V4L2_CAP_DEVICE_CAPS;
  return 0;
}

int get_priority(Call& call) {
  call.as<uint32_t>() = call.session.device().priorities().highest();
  return 0;
}

int set_priority(Call& call) {
  const auto wanted = call.as<uint32_t>();
  if (wanted < V4L2_PRIORITY_BACKGROUND || wanted > V4L2_PRIORITY_RECORD) return -EINVAL;
  Priorities& priorities = call.session.device().priorities();
  std::lock_guard lock(call.session.mutex);
  priorities.add(static_cast<v4l2_priority>(wanted));
  priorities.remove(call.session.priority);
  call.session.priority = static_cast<v4l2_priority>(wanted);
  return 0;
}

bool has_type(const Device& device, uint32_t type) {
  if (type == 0 || type >= kQueueTypes || type == V4L2_BUF_TYPE_VIDEO_OVERLAY ||
      type == V4L2_BUF_TYPE_VIDEO_OUTPUT_OVERLAY)
    return false;
  return is_output(type) ? device.is_output() : device.is_capture();
}

int format(Call& call) { return has_type(call.session.device(), call.as<uint32_t>()) ? forward(call) : -EINVAL; }

// G_INPUT and G_OUTPUT: the Linux driver sends a payload although they are _IOR.
int get_number(Call& call) {
  const Part number[] = {{call.payload, call.row.size(), Part::kBoth}};
  call.session.last_code = call.row.nr();
  return call.session.device().driver().ioctl(call.session.id(), call.row.nr(), number,
                                              {sizeof(wire::ResponseHeader) + call.row.size(), 0});
}

}  // namespace preload
