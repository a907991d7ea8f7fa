#include "flat_command.h"

#include <errno.h>

#include <algorithm>
#include <cstring>

#include "flat_request.h"
#include "ioctl.h"

namespace vmb {

namespace {

/** G/S/TRY_EXT_CTRLS with more controls than this are the loop's. */
constexpr uint32_t kMaxControls = 64;
constexpr size_t kTypeSize = sizeof(uint32_t);

}  // namespace

bool FlatCommand::Parse(uint32_t number, FlatKind kind, const RowRule& rule, std::span<const uint8_t> body,
                        OpenNode& node) {
  kind_ = kind;
  rule_ = &rule;
  switch (kind) {
    case FlatKind::kPayload:
      return ParsePayload(number, body);
    case FlatKind::kControls:
      return ParseControls(number, body);
    case FlatKind::kQueue:
      return number == _IOC_NR(VIDIOC_QBUF) && ParseQueue(body, node.plan.get());
    default:
      return false;
  }
}

bool FlatCommand::ParsePayload(uint32_t number, std::span<const uint8_t> body) {
  const FlatRequest request = FlatRequestOf(number);
  if (request.code == 0) return false;
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
  return !IsOverlay(type) && rule_->HideBits(std::span(payload_).first(size_));
}

bool FlatCommand::ParseControls(uint32_t number, std::span<const uint8_t> body) {
  code_ = ControlsRequest(number);
  size_ = sizeof(v4l2_ext_controls);
  if (code_ == 0 || body.size() < size_) return false;
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

bool FlatCommand::ParseQueue(std::span<const uint8_t> body, FramePlan* plan) {
  if (plan == nullptr || body.size() < sizeof buffer_) return false;
  std::memcpy(&buffer_, body.data(), sizeof buffer_);
  queue_ = plan->Find(buffer_);
  if (queue_ == nullptr) return false;
  const size_t bytes = queue_->is_multiplanar() ? size_t{buffer_.length} * sizeof(v4l2_plane) : 0;
  if (body.size() - sizeof buffer_ < bytes) return false;
  std::memcpy(planes_.data(), body.data() + sizeof buffer_, bytes);
  body_ = body.first(sizeof buffer_ + bytes);
  return true;
}

int FlatCommand::Run(OpenNode& node) {
  switch (kind_) {
    case FlatKind::kControls:
      return RunControls(node.fd());
    case FlatKind::kQueue:
      return RunQueue(node.fd());
    default:
      return RunPayload(node.fd());
  }
}

int FlatCommand::RunPayload(int fd) {
  const int error = Ioctl(fd, code_, payload_.data());
  rule_->HideBits(std::span(payload_).first(size_));
  return error;
}

int FlatCommand::RunControls(int fd) {
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

int FlatCommand::RunQueue(int fd) {
  const v4l2_buffer guest = buffer_;
  v4l2_buffer host = queue_->HostRecord(guest, planes_);
  const int error = Ioctl(fd, VIDIOC_QBUF, &host);
  if (error != 0) return error;
  queue_->queued.push_back(static_cast<uint8_t>(guest.index));
  queue_->GuestRecord(guest, host, planes_);
  buffer_ = host;
  return 0;
}

std::array<std::span<const uint8_t>, 2> FlatCommand::Answer(int error) const {
  const auto bytes = [](const auto* from) { return reinterpret_cast<const uint8_t*>(from); };
  switch (kind_) {
    case FlatKind::kControls:
      return {std::span{payload_.data(), size_}, std::span{bytes(controls_.data()), body_.size() - size_}};
    case FlatKind::kQueue:
      if (error != 0) return Refusal();
      return {std::span{bytes(&buffer_), sizeof buffer_},
              std::span{bytes(planes_.data()), body_.size() - sizeof buffer_}};
    default:
      if (error != 0 ? rule_->answers_errors == 0 || error == ENOTTY : _IOC_DIR(code_) == _IOC_WRITE) return {};
      return {std::span{payload_.data(), size_}};
  }
}

std::array<std::span<const uint8_t>, 2> FlatCommand::Refusal() const {
  if (kind_ == FlatKind::kPayload) return {};
  return {body_};
}

}  // namespace vmb
