#include "node_call.h"

#include <poll.h>
#include <sys/epoll.h>

#include <string_view>

#include "call_reader.h"
#include "mapping.h"
#include "region.h"

namespace vmb {

namespace {

constexpr uint32_t kNodeEvents = EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLERR | EPOLLHUP;

/** mmap(2) of the node. */
class MapCall : public NodeCall {
 public:
  MapCall(uint64_t offset, uint64_t length) : offset_(offset), length_(length) {}

  int Run(OpenNode& node) override {
    mapping_ = Mapping::Map(node.fd(), offset_, length_, Mapping::Source::kNode);
    return mapping_ == nullptr ? errno : 0;
  }

  void Finish(Napi::Object call, bool) override {
    const Napi::Value region = Region::Create(call.Env(), std::move(mapping_));
    if (!call.Env().IsExceptionPending()) call.Set("region", region);
  }

 private:
  uint64_t offset_;
  uint64_t length_;
  std::shared_ptr<Mapping> mapping_;
};

/** epoll_ctl(2) on the watcher's epoll. */
class WatchCall : public NodeCall {
 public:
  explicit WatchCall(uint32_t events) : events_(events) {}
  int Run(OpenNode& node) override { return node.Watch(events_); }

 private:
  uint32_t events_;
};

/** poll(2) of the node, which does not wait. */
class PollCall : public NodeCall {
 public:
  int Run(OpenNode& node) override {
    // Without POLLIN and POLLOUT, vb2 does not start its read() or write() emulation.
    pollfd polled{node.fd(), 0, 0};
    while (poll(&polled, 1, 0) < 0) {
      if (errno != EINTR) return errno;
    }
    ready_ = static_cast<uint32_t>(polled.revents) & kNodeEvents;
    return 0;
  }

  void Finish(Napi::Object call, bool) override { call.Set("ready", ready_); }

 private:
  uint32_t ready_ = 0;
};

struct Kind {
  std::string_view name;
  std::unique_ptr<NodeCall> (*parse)(CallReader&);
};

constexpr Kind kKinds[] = {
    {"ioctl", ParseRequest},
    {"buffer", ParseBuffer},
    {"dequeueBuffer", ParseDequeueBuffer},
    {"dequeueEvent", ParseDequeueEvent},
    {"controls", ParseControls},
    {"edid", ParseEdid},
    {"allocateRequest", ParseAllocateRequest},
    {"queueRequest", ParseQueueRequest},
    {"reinitRequest", ParseReinitRequest},
    {"closeRequest", ParseCloseRequest},
    {"map", ParseMap},
    {"join", ParseJoin},
    {"watch", ParseWatch},
    {"poll", ParsePoll},
};

}  // namespace

std::unique_ptr<NodeCall> ParseMap(CallReader& reader) {
  const uint64_t offset = reader.Integer("offset");
  const uint64_t length = reader.Integer("length");
  return reader.ok() ? std::make_unique<MapCall>(offset, length) : nullptr;
}

std::unique_ptr<NodeCall> ParseWatch(CallReader& reader) {
  const uint64_t events = reader.Integer("events", UINT32_MAX);
  if (!reader.ok() || (events & ~uint64_t{kNodeEvents}) != 0) return nullptr;
  return std::make_unique<WatchCall>(static_cast<uint32_t>(events));
}

std::unique_ptr<NodeCall> ParsePoll(CallReader&) { return std::make_unique<PollCall>(); }

std::unique_ptr<NodeCall> ParseCall(CallReader& reader) {
  const std::string name = reader.Text("kind");
  for (const Kind& kind : kKinds) {
    if (kind.name != name) continue;
    std::unique_ptr<NodeCall> call = kind.parse(reader);
    if (call != nullptr && reader.ok()) return call;
  }
  reader.Forget();
  return std::make_unique<SettledCall>(EINVAL);
}

}  // namespace vmb
