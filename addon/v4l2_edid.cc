#include <vector>

#include "call_reader.h"
#include "node_call.h"
#include "v4l2_uapi.h"

namespace vmb {

namespace {

constexpr size_t kBlockSize = 128;
/** The limit of v4l2-core. */
constexpr uint32_t kMaxBlocks = 256;

/** G_EDID and S_EDID. The kernel reads and writes our copy of the blocks. */
class EdidCall : public NodeCall {
 public:
  explicit EdidCall(unsigned long request) : request_(request) {}

  bool Parse(CallReader& reader) {
    reader.Copy(reader.Get("edid"), BytesOf(edid_));
    reader.CopyAll(reader.Get("blocks"), blocks_, kMaxBlocks * kBlockSize);
    return reader.ok() && blocks_.size() == edid_.blocks * kBlockSize;
  }

  int Run(OpenNode& node) override {
    // The kernel copies as many blocks as the call requests. Its answer in `blocks` may be another number:
    // how many blocks there are.
    v4l2_edid call = edid_;
    call.edid = blocks_.data();
    const int error = Ioctl(node.fd(), request_, &call);
    call.edid = edid_.edid;
    edid_ = call;
    return error;
  }

 private:
  unsigned long request_;
  v4l2_edid edid_{};
  std::vector<uint8_t> blocks_;
};

constexpr unsigned long kRequests[] = {VIDIOC_G_EDID, VIDIOC_S_EDID};

}  // namespace

std::unique_ptr<NodeCall> ParseEdid(CallReader& reader) {
  const uint64_t number = reader.Integer("nr");
  for (const unsigned long request : kRequests) {
    if (!reader.ok() || _IOC_NR(request) != number) continue;
    auto call = std::make_unique<EdidCall>(request);
    return call->Parse(reader) ? std::move(call) : nullptr;
  }
  return nullptr;
}

}  // namespace vmb
