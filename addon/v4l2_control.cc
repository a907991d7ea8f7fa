#include <algorithm>
#include <cstring>
#include <vector>

#include "call_reader.h"
#include "flat_request.h"
#include "node_call.h"
#include "unique_fd.h"
#include "v4l2_uapi.h"

namespace vmb {

namespace {

/**
 * G/S/TRY_EXT_CTRLS. A control with a payload points at our copy of it. A control without one keeps its value
 * and gets size 0: if the driver takes the value for a pointer after all, the kernel finds no room there and
 * does not follow it.
 */
class ControlsCall : public NodeCall {
 public:
  explicit ControlsCall(unsigned long request) : request_(request) {}

  bool Parse(CallReader& reader) {
    reader.Copy(reader.Get("controls"), BytesOf(header_));
    reader.CopyAll(reader.Get("array"), array_, V4L2_CID_MAX_CTRLS * sizeof(v4l2_ext_control));
    const Napi::Value payloads = reader.Get("payloads");
    if (!ParseMediaRequest(reader)) return false;
    const bool whole = array_.size() == size_t{header_.count} * sizeof(v4l2_ext_control);
    if (!whole || reader.LengthOf(payloads) != header_.count) return false;
    header_.request_fd = 0;
    sent_.resize(header_.count);
    if (!array_.empty()) std::memcpy(sent_.data(), array_.data(), array_.size());
    payloads_.resize(header_.count);
    for (uint32_t i = 0; i < header_.count; i++) {
      if (!ParsePayload(reader, reader.At(payloads, i), i)) return false;
    }
    return true;
  }

  int Run(OpenNode& node) override {
    v4l2_ext_controls call = header_;
    call.controls = sent_.data();
    if (in_request_) {
      call.which = V4L2_CTRL_WHICH_REQUEST_VAL;
      call.request_fd = media_request_.get();
    }
    const int error = error_ != 0 ? error_ : Ioctl(node.fd(), request_, &call);
    // If the caller has closed its descriptor, ours is the last one. This thread must close it, not the loop.
    media_request_.Reset();
    if (in_request_) call.which = header_.which;
    // The whole record except the pointer at its end.
    std::memcpy(&header_, &call, offsetof(v4l2_ext_controls, controls));
    header_.request_fd = 0;
    for (size_t i = 0; i < sent_.size(); i++) Restore(i);
    return error;
  }

 private:
  /** Reads the media request whose values are meant. Only `request` can name it, not the record. */
  bool ParseMediaRequest(CallReader& reader) {
    const Napi::Value request = reader.Get("request");
    in_request_ = !request.IsUndefined();
    if (in_request_) error_ = reader.Borrow(request, media_request_);
    return reader.ok() && (in_request_ || header_.which != V4L2_CTRL_WHICH_REQUEST_VAL);
  }

  bool ParsePayload(CallReader& reader, Napi::Value payload, uint32_t index) {
    v4l2_ext_control& control = sent_[index];
    if (!reader.ok()) return false;
    if (payload.IsNull()) {
      control.size = 0;
      return true;
    }
    std::vector<uint8_t>& bytes = payloads_[index].bytes;
    reader.CopyAll(payload, bytes, control.size);
    if (!reader.ok() || bytes.size() != control.size) return false;
    payloads_[index].is_given = true;
    control.ptr = bytes.data();
    return true;
  }

  /** Writes what the kernel has made of a control into the caller's array, but neither our pointer nor our
   * size 0. */
  void Restore(size_t index) {
    v4l2_ext_control& control = sent_[index];
    v4l2_ext_control given;
    uint8_t* at = array_.data() + index * sizeof given;
    std::memcpy(&given, at, sizeof given);
    if (payloads_[index].is_given) {
      control.value64 = given.value64;
    } else if (control.size == 0) {
      control.size = given.size;
    }
    std::memcpy(at, &control, sizeof control);
  }

  struct Payload {
    bool is_given = false;
    std::vector<uint8_t> bytes;
  };

  unsigned long request_;
  v4l2_ext_controls header_{};
  std::vector<uint8_t> array_;
  std::vector<v4l2_ext_control> sent_;
  std::vector<Payload> payloads_;
  bool in_request_ = false;
  UniqueFd media_request_;
  /** The errno of a request that could not be duplicated. */
  int error_ = 0;
};

constexpr unsigned long kRequests[] = {VIDIOC_G_EXT_CTRLS, VIDIOC_S_EXT_CTRLS, VIDIOC_TRY_EXT_CTRLS};

}  // namespace

unsigned long ControlsRequest(uint32_t number) {
  for (const unsigned long request : kRequests)
    if (_IOC_NR(request) == number) return request;
  return 0;
}

std::unique_ptr<NodeCall> ParseControls(CallReader& reader) {
  const uint64_t number = reader.Integer("nr", UINT32_MAX);
  const unsigned long request = reader.ok() ? ControlsRequest(static_cast<uint32_t>(number)) : 0;
  if (request == 0) return nullptr;
  auto call = std::make_unique<ControlsCall>(request);
  return call->Parse(reader) ? std::move(call) : nullptr;
}

}  // namespace vmb
