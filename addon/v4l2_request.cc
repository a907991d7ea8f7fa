#include <fcntl.h>

#include <array>
#include <cstring>
#include <optional>

#include "call_reader.h"
#include "flat_request.h"
#include "node_call.h"
#include "unique_fd.h"
#include "v4l2_uapi.h"

namespace vmb {

namespace {

using Request = FlatRequest;

constexpr int kFormatType = offsetof(v4l2_format, type);
constexpr int kCreateType = offsetof(v4l2_create_buffers, format.type);

/** The allow-list. For these ioctls the kernel follows no pointer in the payload and takes no descriptor. */
constexpr Request kRequests[] = {
    {VIDIOC_QUERYCAP},
    {VIDIOC_ENUM_FMT},
    {VIDIOC_G_FMT, kFormatType},
    {VIDIOC_S_FMT, kFormatType},
    {VIDIOC_REQBUFS},
    {VIDIOC_EXPBUF},
    {VIDIOC_STREAMON},
    {VIDIOC_STREAMOFF},
    {VIDIOC_G_PARM},
    {VIDIOC_S_PARM},
    {VIDIOC_G_STD},
    {VIDIOC_S_STD},
    {VIDIOC_ENUMSTD},
    {VIDIOC_ENUMINPUT},
    {VIDIOC_G_CTRL},
    {VIDIOC_S_CTRL},
    {VIDIOC_G_TUNER},
    {VIDIOC_S_TUNER},
    {VIDIOC_G_AUDIO},
    {VIDIOC_S_AUDIO},
    {VIDIOC_QUERYCTRL},
    {VIDIOC_QUERYMENU},
    {VIDIOC_G_INPUT},
    {VIDIOC_S_INPUT},
    {VIDIOC_G_OUTPUT},
    {VIDIOC_S_OUTPUT},
    {VIDIOC_ENUMOUTPUT},
    {VIDIOC_G_AUDOUT},
    {VIDIOC_S_AUDOUT},
    {VIDIOC_G_MODULATOR},
    {VIDIOC_S_MODULATOR},
    {VIDIOC_G_FREQUENCY},
    {VIDIOC_S_FREQUENCY},
    {VIDIOC_CROPCAP},
    {VIDIOC_G_CROP},
    {VIDIOC_S_CROP},
    {VIDIOC_QUERYSTD},
    {VIDIOC_TRY_FMT, kFormatType},
    {VIDIOC_ENUMAUDIO},
    {VIDIOC_ENUMAUDOUT},
    {VIDIOC_G_SLICED_VBI_CAP},
    {VIDIOC_ENUM_FRAMESIZES},
    {VIDIOC_ENUM_FRAMEINTERVALS},
    {VIDIOC_G_ENC_INDEX},
    {VIDIOC_ENCODER_CMD},
    {VIDIOC_TRY_ENCODER_CMD},
    {VIDIOC_S_HW_FREQ_SEEK},
    {VIDIOC_S_DV_TIMINGS},
    {VIDIOC_G_DV_TIMINGS},
    {VIDIOC_SUBSCRIBE_EVENT},
    {VIDIOC_UNSUBSCRIBE_EVENT},
    {VIDIOC_CREATE_BUFS, kCreateType},
    {VIDIOC_G_SELECTION},
    {VIDIOC_S_SELECTION},
    {VIDIOC_DECODER_CMD},
    {VIDIOC_TRY_DECODER_CMD},
    {VIDIOC_ENUM_DV_TIMINGS},
    {VIDIOC_QUERY_DV_TIMINGS},
    {VIDIOC_DV_TIMINGS_CAP},
    {VIDIOC_ENUM_FREQ_BANDS},
    {VIDIOC_QUERY_EXT_CTRL},
    {VIDIOC_REMOVE_BUFS},
};

/** The allow-list by ioctl number. Code 0: the number is not in the list. */
constexpr auto kByNumber = [] {
  std::array<Request, 256> table{};
  for (const Request& request : kRequests) table[_IOC_NR(request.code)] = request;
  return table;
}();

class RequestCall : public NodeCall {
 public:
  explicit RequestCall(const Request& request) : request_(request) {}

  bool Parse(CallReader& reader) {
    reader.Copy(reader.Get("payload"), Payload());
    if (!reader.ok()) return false;
    uint32_t type = 0;
    if (request_.buffer_type_at >= 0)
      std::memcpy(&type, payload_.data() + request_.buffer_type_at, sizeof type);
    return !IsOverlay(type);
  }

  int Run(OpenNode& node) override { return Ioctl(node.fd(), request_.code, payload_.data()); }

 protected:
  std::span<uint8_t> Payload() { return std::span(payload_).first(_IOC_SIZE(request_.code)); }

 private:
  const Request& request_;
  /** v4l2_enc_idx is the largest payload. */
  alignas(8) std::array<uint8_t, sizeof(v4l2_enc_idx)> payload_;
};

/**
 * S_HW_FREQ_SEEK. Drivers refuse it on a non-blocking file (EAGAIN), so the file is blocking while the ioctl
 * runs. No DQBUF or DQEVENT runs at that time, because the lane runs one call at a time.
 */
class SeekCall : public RequestCall {
 public:
  using RequestCall::RequestCall;

  int Run(OpenNode& node) override {
    if (const int error = node.SetNonBlocking(false)) return error;
    const int error = RequestCall::Run(node);
    node.SetNonBlocking(true);
    return error;
  }
};

/** EXPBUF. If JavaScript cannot get the number of the new descriptor, it is closed. */
class ExportCall : public RequestCall {
 public:
  using RequestCall::RequestCall;

  int Run(OpenNode& node) override {
    auto* exported = reinterpret_cast<v4l2_exportbuffer*>(Payload().data());
    exported->flags |= O_CLOEXEC;
    const int error = RequestCall::Run(node);
    if (error == 0) fd_.Reset(exported->fd);
    return error;
  }

  void Finish(Napi::Object, bool delivered) override {
    if (delivered) fd_.Release();
  }

 private:
  UniqueFd fd_;
};

std::unique_ptr<RequestCall> CreateCall(const Request& request) {
  switch (request.code) {
    case VIDIOC_EXPBUF:
      return std::make_unique<ExportCall>(request);
    case VIDIOC_S_HW_FREQ_SEEK:
      return std::make_unique<SeekCall>(request);
    default:
      return std::make_unique<RequestCall>(request);
  }
}

}  // namespace

bool IsOverlay(uint32_t buffer_type) {
  return buffer_type == V4L2_BUF_TYPE_VIDEO_OVERLAY || buffer_type == V4L2_BUF_TYPE_VIDEO_OUTPUT_OVERLAY;
}

/** Those that need more than ioctl(2) are left out. */
FlatRequest FlatRequestOf(uint32_t number) {
  if (number >= kByNumber.size()) return {};
  const Request& request = kByNumber[number];
  return request.code == VIDIOC_EXPBUF || request.code == VIDIOC_S_HW_FREQ_SEEK ? FlatRequest() : request;
}

std::unique_ptr<NodeCall> ParseRequest(CallReader& reader) {
  const uint64_t number = reader.Integer("nr");
  if (!reader.ok()) return nullptr;
  if (number >= kByNumber.size() || kByNumber[number].code == 0) return std::make_unique<SettledCall>(ENOTTY);
  const Request& request = kByNumber[number];
  std::unique_ptr<RequestCall> call = CreateCall(request);
  return call->Parse(reader) ? std::move(call) : nullptr;
}

}  // namespace vmb
