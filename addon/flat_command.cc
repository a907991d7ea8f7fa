#include "flat_command.h"

#include <algorithm>
#include <cstring>

#include "flat_request.h"
#include "node_call.h"

namespace vmb {

namespace {

/** G/S/TRY_EXT_CTRLS with more controls than this are the loop's. */
constexpr uint32_t kMaxControls = 64;
constexpr size_t kTypeSize = sizeof(uint32_t);

}  // namespace

bool FlatCommand::Parse(uint32_t number, FlatKind kind, std::span<const uint8_t> body) {
  kind_ = kind;
  if (kind == FlatKind::kControls) {
    code_ = ControlsRequest(number);
    size_ = sizeof(v4l2_ext_controls);
    return code_ != 0 && ParseControls(body);
  }
  const FlatRequest request = FlatRequestOf(number);
  if (kind == FlatKind::kNone || request.code == 0) return false;
  code_ = request.code;
  size_ = _IOC_SIZE(code_);
  // A payload that is too short is refused by the loop.
  if (_IOC_DIR(code_) == _IOC_READ) {
    std::fill_n(payload_.begin(), size_, uint8_t{0});
  } else if (body.size() >= size_) {
    std::copy_n(body.begin(), size_, payload_.begin());
  } else {
    return false;
  }
  uint32_t type = 0;
  if (request.buffer_type_at >= 0) std::memcpy(&type, payload_.data() + request.buffer_type_at, kTypeSize);
  return !IsOverlay(type);
}

bool FlatCommand::ParseControls(std::span<const uint8_t> body) {
  if (body.size() < size_) return false;
  std::copy_n(body.begin(), size_, payload_.begin());
  v4l2_ext_controls given;
  std::memcpy(&given, payload_.data(), sizeof given);
  const size_t bytes = size_t{given.count} * sizeof(v4l2_ext_control);
  if (given.count == 0 || given.count > kMaxControls || body.size() - size_ < bytes) return false;
  // The values of a media request are the loop's to find.
  if (given.which == V4L2_CTRL_WHICH_REQUEST_VAL) return false;
  controls_.resize(given.count);
  std::memcpy(controls_.data(), body.data() + size_, bytes);
  body_ = body.first(size_ + bytes);
  // Without a size there is no pointer: if the driver takes the value for one, the kernel finds no room there.
  return std::all_of(controls_.begin(), controls_.end(), [](const auto& control) { return control.size == 0; });
}

int FlatCommand::Run(int fd) {
  if (kind_ == FlatKind::kPayload) return Ioctl(fd, code_, payload_.data());
  v4l2_ext_controls given;
  std::memcpy(&given, payload_.data(), sizeof given);
  v4l2_ext_controls call = given;
  call.request_fd = 0;
  call.reserved[0] = 0;
  call.controls = controls_.data();
  const int error = Ioctl(fd, code_, &call);
  // The guest's own pointer and request_fd stay as they were, and so do the ids.
  given.which = call.which;
  given.count = call.count;
  given.error_idx = call.error_idx;
  std::memcpy(payload_.data(), &given, sizeof given);
  for (size_t i = 0; i < controls_.size(); i++)
    std::memcpy(&controls_[i].id, body_.data() + size_ + i * sizeof(v4l2_ext_control), sizeof controls_[i].id);
  return error;
}

std::array<std::span<const uint8_t>, 2> FlatCommand::Answer(int error) const {
  const std::span<const uint8_t> payload{payload_.data(), size_};
  if (kind_ == FlatKind::kControls)
    return {payload, {reinterpret_cast<const uint8_t*>(controls_.data()), body_.size() - size_}};
  if (error != 0 || _IOC_DIR(code_) == _IOC_WRITE) return {};
  return {payload};
}

std::array<std::span<const uint8_t>, 2> FlatCommand::Refusal() const {
  if (kind_ == FlatKind::kControls) return {body_};
  return {};
}

}  // namespace vmb
