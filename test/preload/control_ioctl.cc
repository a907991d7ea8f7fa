// Controls: everything is sent to the device as QUERY_EXT_CTRL or G/S/TRY_EXT_CTRLS, as guests from Linux
// 6.15 on do it.
#include <cerrno>

#include "ioctl_table.h"
#include "media_request.h"
#include "user_memory.h"

namespace preload {
namespace {

constexpr Judgement kJudgement = {sizeof(wire::ResponseHeader) + sizeof(v4l2_ext_controls),
                                  sizeof(wire::ResponseHeader) + sizeof(v4l2_ext_controls)};

// Checks as check_ext_ctrls of v4l2-core. `request`: the ioctl that the program called. `in_requests`: the
// node has a media device; then the device checks the values of a request.
bool are_sound(v4l2_ext_controls& controls, v4l2_ext_control* array, unsigned request, bool in_requests) {
  const bool reads = request == VIDIOC_G_EXT_CTRLS || request == VIDIOC_G_CTRL;
  controls.reserved[0] = 0;
  for (uint32_t i = 0; i < controls.count; i++) array[i].reserved2[0] = 0;
  switch (controls.which) {
    case V4L2_CID_PRIVATE_BASE:
      // Only G_CTRL and S_CTRL may use the base of private controls.
      if (request == VIDIOC_G_CTRL || request == VIDIOC_S_CTRL) return true;
      controls.error_idx = controls.count;
      return false;
    case V4L2_CTRL_WHICH_CUR_VAL: return true;
    case V4L2_CTRL_WHICH_REQUEST_VAL:
      if (!in_requests) controls.error_idx = controls.count;
      return in_requests;
    default: break;
  }
  // `which` names the default value, or in newer headers the minimum or maximum. These cannot be set.
  if (controls.which >= V4L2_CTRL_WHICH_DEF_VAL && controls.which <= V4L2_CTRL_WHICH_DEF_VAL + 0x3'0000) {
    if (!reads) controls.error_idx = controls.count;
    return reads;
  }
  for (uint32_t i = 0; i < controls.count; i++) {
    if (V4L2_CTRL_ID2WHICH(array[i].id) == controls.which) continue;
    controls.error_idx = request == VIDIOC_TRY_EXT_CTRLS ? i : controls.count;
    return false;
  }
  return true;
}

// The memory that a control points to, copied to this process for the time of the ioctl.
struct Pointed {
  void* user;
  std::vector<uint8_t> bytes, before;
};

bool collect(const Call& call, std::vector<Pointed>& pointed) {
  const auto* array = reinterpret_cast<const v4l2_ext_control*>(call.array.data());
  for (size_t i = 0; i < call.array.size() / sizeof *array; i++) {
    if (array[i].size == 0) continue;
    Pointed each = {array[i].ptr, std::vector<uint8_t>(array[i].size), {}};
    if (!copy_from_user(each.bytes.data(), each.user, each.bytes.size())) return false;
    each.before = each.bytes;
    pointed.push_back(std::move(each));
  }
  return true;
}

// Writes back only payloads that the device has changed, because a program may keep the values that it sets
// in read-only memory.
bool put_back(const std::vector<Pointed>& pointed) {
  for (const Pointed& each : pointed)
    if (each.bytes != each.before && !copy_to_user(each.user, each.bytes.data(), each.bytes.size())) return false;
  return true;
}

// QUERY_EXT_CTRL of one control.
int query(const Call& call, uint32_t id, v4l2_query_ext_ctrl* found) {
  Call extended = {call.session, *find_row(VIDIOC_QUERY_EXT_CTRL), call.non_blocking, {}, {}};
  extended.as<v4l2_query_ext_ctrl>().id = id;
  const int result = forward(extended);
  if (result == 0) *found = extended.as<v4l2_query_ext_ctrl>();
  return result;
}

// G_CTRL and S_CTRL are for controls of one 32-bit number. An extended ioctl would accept the other controls
// too, so they are refused here. (A guest's v4l2-core that uses only the driver's extended ioctls lets them
// pass.)
int require_number(const Call& call, uint32_t id) {
  v4l2_query_ext_ctrl found;
  const int result = query(call, id & V4L2_CTRL_ID_MASK, &found);
  if (result != 0) return result;
  const bool number = found.type != V4L2_CTRL_TYPE_INTEGER64 && found.type != V4L2_CTRL_TYPE_STRING &&
                      found.type != V4L2_CTRL_TYPE_CTRL_CLASS && !(found.flags & V4L2_CTRL_FLAG_HAS_PAYLOAD);
  return number ? 0 : -EINVAL;
}

// G_CTRL or S_CTRL of one control, by an extended ioctl.
int one_control(Call& call, unsigned request) {
  auto& control = call.as<v4l2_control>();
  if (const int refusal = require_number(call, control.id); refusal != 0) return refusal;
  Call extended = {call.session, *find_row(request), call.non_blocking, {}, {}};
  extended.array.resize(sizeof(v4l2_ext_control));
  auto& element = *extended.array_of<v4l2_ext_control>();
  element.id = control.id;
  element.value = control.value;
  auto& controls = extended.as<v4l2_ext_controls>();
  controls.which = V4L2_CTRL_ID2WHICH(control.id);
  controls.count = 1;
  if (!are_sound(controls, &element, call.row.request, false)) return -EINVAL;
  const int result = forward(extended, {}, kJudgement);
  if (result == 0) control.value = element.value;
  return result;
}

// If the payload names a request, the program's descriptor is replaced by the handle while the command is
// sent.
int forward_in_request(Call& call, std::span<const Part> parts) {
  auto& controls = call.as<v4l2_ext_controls>();
  if (controls.which != V4L2_CTRL_WHICH_REQUEST_VAL) return forward(call, parts, kJudgement);
  const int32_t request_fd = controls.request_fd;
  std::shared_ptr<RequestState> state;
  int result = to_handle(call.session, controls.request_fd, &state);
  if (result != 0) return result;
  const int32_t handle = controls.request_fd;
  result = settled(*state, call.row.request == VIDIOC_G_EXT_CTRLS ? -EACCES : 0, [&] {
    controls.request_fd = handle;
    return forward(call, parts, kJudgement);
  });
  controls.request_fd = request_fd;
  return result;
}

}  // namespace

int extended_controls(Call& call) {
  auto& controls = call.as<v4l2_ext_controls>();
  v4l2_ext_control* const user = controls.controls;
  controls.error_idx = controls.count;
  const bool in_requests = call.session.device().has_media();
  if (!are_sound(controls, call.array_of<v4l2_ext_control>(), call.row.request, in_requests)) return -EINVAL;
  std::vector<Pointed> pointed;
  if (!collect(call, pointed)) return -EFAULT;
  std::vector<Part> parts;
  for (Pointed& each : pointed) parts.push_back({each.bytes.data(), each.bytes.size(), Part::kPointed});
  const uint32_t count = controls.count;
  int result = forward_in_request(call, parts);
  if (controls.count != count) result = -ENOSPC;
  controls.count = count;
  controls.controls = user;
  return put_back(pointed) ? result : -EFAULT;
}

int get_control(Call& call) { return one_control(call, VIDIOC_G_EXT_CTRLS); }

int set_control(Call& call) { return one_control(call, VIDIOC_S_EXT_CTRLS); }

int query_control(Call& call) {
  auto& control = call.as<v4l2_queryctrl>();
  v4l2_query_ext_ctrl found;
  const int result = query(call, control.id, &found);
  if (result != 0) return result;
  control = {};
  control.id = found.id;
  control.type = found.type;
  control.flags = found.flags;
  memcpy(control.name, found.name, sizeof control.name - 1);
  switch (found.type) {
    case V4L2_CTRL_TYPE_INTEGER:
    case V4L2_CTRL_TYPE_BOOLEAN:
    case V4L2_CTRL_TYPE_MENU:
    case V4L2_CTRL_TYPE_INTEGER_MENU:
    case V4L2_CTRL_TYPE_STRING:
    case V4L2_CTRL_TYPE_BITMASK:
      control.minimum = static_cast<int32_t>(found.minimum);
      control.maximum = static_cast<int32_t>(found.maximum);
      control.step = static_cast<int32_t>(found.step);
      control.default_value = static_cast<int32_t>(found.default_value);
      break;
    default: break;
  }
  return 0;
}

}  // namespace preload
