#include "call_reader.h"
#include "node_call.h"
#include "v4l2_uapi.h"

namespace vmb {

namespace {

/** VIDIOC_DQEVENT. */
class DequeueEventCall : public NodeCall {
 public:
  void Parse(CallReader& reader) { reader.Copy(reader.Get("event"), BytesOf(event_)); }
  int Run(OpenNode& node) override { return Ioctl(node.fd(), VIDIOC_DQEVENT, &event_); }

 private:
  v4l2_event event_{};
};

}  // namespace

std::unique_ptr<NodeCall> ParseDequeueEvent(CallReader& reader) {
  auto call = std::make_unique<DequeueEventCall>();
  call->Parse(reader);
  return reader.ok() ? std::move(call) : nullptr;
}

}  // namespace vmb
