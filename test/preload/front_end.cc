#include "front_end.h"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "settings.h"

namespace preload {
namespace {

struct VmmTraits {
  uint64_t virtio, protocol;
  unsigned queue_size;
  bool qemu;
};
constexpr VmmTraits kQemu = {wire::kVersion1 | wire::kIndirect | wire::kEventIdx,
                             wire::kMq | wire::kReplyAck | wire::kBackendReq | wire::kConfig | wire::kBackendSendFd |
                                 wire::kShmem,
                             256, true};
// crosvm: no indirect descriptors, no BACKEND_SEND_FD, huge queues.
constexpr VmmTraits kCrosvm = {wire::kVersion1 | wire::kEventIdx,
                               wire::kMq | wire::kReplyAck | wire::kBackendReq | wire::kConfig | wire::kShmem, 32768,
                               false};

const VmmTraits& traits() { return Settings::get().crosvm ? kCrosvm : kQemu; }

UniqueFd connect_to(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (path.size() >= sizeof address.sun_path) return UniqueFd();
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return UniqueFd();
  return fd;
}

}  // namespace

unsigned FrontEnd::queue_size() const { return traits().queue_size; }

bool FrontEnd::connect(const std::string& socket) {
  control_ = connect_to(socket);
  if (!control_) {
    complain("%s: %s", socket.c_str(), strerror(errno));
    return false;
  }
  std::lock_guard lock(mutex_);
  return negotiate();
}

// The order of QEMU 11.1. crosvm sends SET_OWNER first, and no call and error descriptors before the start.
bool FrontEnd::negotiate() {
  const bool qemu = traits().qemu;
  uint64_t value = 0, queues = 0;
  if (!qemu && !tell(wire::kSetOwner, {})) return false;
  if (!ask_number(wire::kGetFeatures, &offered_) || !(offered_ & wire::kProtocolFeatures)) return false;
  features_ = offered_ & (traits().virtio | wire::kProtocolFeatures);
  if (!ask_number(wire::kGetProtocolFeatures, &value)) return false;
  protocol_ = value & traits().protocol;
  if (!tell_number(wire::kSetProtocolFeatures, protocol_)) return false;
  if (!qemu && !send_channel()) return false;
  if (!ask_number(wire::kGetQueueNum, &queues) || queues != 2) return failed(wire::kGetQueueNum);
  if (qemu && (!send_channel() || !tell(wire::kSetOwner, {}) || !ask_number(wire::kGetFeatures, &offered_)))
    return false;
  if (!(protocol_ & wire::kShmem)) return true;
  Message reply;
  if (!ask(wire::kGetShmemConfig, {}, reply)) return false;
  const auto* regions = reply.as<wire::ShmemConfig>();
  return (regions && window_.reserve(regions->count ? regions->sizes[0] : 0)) || failed(wire::kGetShmemConfig);
}

bool FrontEnd::send_channel() {
  if (!(protocol_ & wire::kBackendReq)) return true;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return false;
  channel_ = UniqueFd(ends[0]);
  const UniqueFd theirs(ends[1]);
  return tell(wire::kSetBackendReqFd, {}, std::span(ends + 1, 1), true);
}

bool FrontEnd::start(std::span<Virtqueue* const> queues) {
  std::lock_guard lock(mutex_);
  if (!tell_number(wire::kSetFeatures, features_) || !announce_memory()) return false;
  for (const Virtqueue* queue : queues)
    if (!start_ring(*queue)) return false;
  const auto each = [&](auto step) {
    for (const Virtqueue* queue : queues)
      if (!step(*queue)) return false;
    return true;
  };
  started_ = true;
  if (!traits().qemu) return true;
  return each([&](const Virtqueue& queue) {
           return tell(wire::kSetVringEnable, bytes_of(wire::VringState{queue.index(), 1}), {}, true);
         }) &&
         each([&](const Virtqueue& queue) { return tell_number(wire::kSetVringCall, queue.index(), queue.call_fd()); });
}

bool FrontEnd::start_ring(const Virtqueue& queue) {
  const unsigned index = queue.index();
  const bool qemu = traits().qemu;
  queue.kick_always();
  const auto state = [&](wire::Request request, uint32_t number) {
    return tell(request, bytes_of(wire::VringState{index, number}));
  };
  const auto address = [&] { return tell(wire::kSetVringAddr, bytes_of(queue.address())); };
  if (!qemu)
    return state(wire::kSetVringNum, queue.size()) && address() && state(wire::kSetVringBase, 0) &&
           tell_number(wire::kSetVringCall, index, queue.call_fd()) &&
           tell_number(wire::kSetVringKick, index, queue.kick_fd()) && state(wire::kSetVringEnable, 1);
  return tell_number(wire::kSetVringErr, index, queue.error_fd()) && state(wire::kSetVringNum, queue.size()) &&
         state(wire::kSetVringBase, 0) && address() && tell_number(wire::kSetVringKick, index, queue.kick_fd()) &&
         tell_number(wire::kSetVringCall, index, queue.call_fd());
}

bool FrontEnd::announce_memory() {
  wire::MemoryTable table = {};
  int fds[wire::kMaxRegions];
  const auto add = [&](const wire::MemoryRegion& region, int fd) {
    fds[table.count] = fd;
    table.regions[table.count++] = region;
  };
  for (const wire::MemoryRegion& region : ram_.regions()) add(region, ram_.fd());
  for (const auto& [region, fd] : window_.echoes()) {
    // If the table is full, QEMU does not send it, and the back-end keeps the table that it has.
    if (table.count == wire::kMaxRegions) return true;
    if (Settings::get().echo) add(region, fd);
  }
  const size_t bytes = offsetof(wire::MemoryTable, regions) + sizeof table.regions[0] * table.count;
  return tell(wire::kSetMemTable, bytes_of(table).first(bytes), std::span(fds, table.count), true);
}

bool FrontEnd::read_config(uint32_t offset, void* bytes, uint32_t count) {
  std::lock_guard lock(mutex_);
  uint8_t body[sizeof(wire::ConfigHeader) + sizeof(wire::Config)] = {};
  const wire::ConfigHeader header = {offset, count, 0};
  memcpy(body, &header, sizeof header);
  Message reply;
  if (!ask(wire::kGetConfig, std::span(body, sizeof header + count), reply)) return false;
  if (reply.body.size() != sizeof header + count || memcmp(reply.body.data(), &header, 8) != 0)
    return failed(wire::kGetConfig);
  memcpy(bytes, reply.body.data() + sizeof header, count);
  return true;
}

bool FrontEnd::serve_channel() {
  std::lock_guard lock(mutex_);
  Message message;
  if (!receive_message(channel_.get(), message)) return false;
  const auto [request, flags, size] = message.header;
  const auto* body = message.as<wire::ShmemMap>();
  bool done = false;
  if (body && request == wire::kShmemMap && message.descriptors.size() == 1)
    done = window_.map(*body, std::move(message.descriptors[0]));
  if (body && request == wire::kShmemUnmap) done = window_.unmap(*body);
  if (body)
    trace("channel request %u at %#llx, %#llx bytes: %s", request, static_cast<unsigned long long>(body->shm_offset),
          static_cast<unsigned long long>(body->length), done ? "done" : "refused");
  if (done && request == wire::kShmemUnmap && in_use_ && in_use_(body->shm_offset, body->length))
    complain("the back-end unmapped what a program still has mapped, at %#llx",
             static_cast<unsigned long long>(body->shm_offset));
  if (!done) complain("request %u of the back-end (%u bytes) is refused", request, size);
  const uint64_t status = done ? 0 : 1;
  if ((flags & wire::kNeedReply) &&
      !send_message(channel_.get(), {request, wire::kVersion | wire::kReply, 0}, bytes_of(status)))
    return false;
  // After the answer, QEMU announces the mapping as guest memory.
  return !(done && Settings::get().echo && started_) || announce_memory();
}

bool FrontEnd::ask(wire::Request request, Bytes body, Message& reply) {
  if (!send_message(control_.get(), {request, wire::kVersion, 0}, body) || !receive_message(control_.get(), reply))
    return failed(request);
  const bool answers = reply.header.request == request && reply.header.flags == (wire::kVersion | wire::kReply);
  return answers || failed(request);
}

bool FrontEnd::ask_number(wire::Request request, uint64_t* value) {
  Message reply;
  if (!ask(request, {}, reply)) return false;
  const auto* number = reply.as<uint64_t>();
  if (number) *value = *number;
  return number || failed(request);
}

bool FrontEnd::tell(wire::Request request, Bytes body, std::span<const int> fds, bool acknowledged) {
  const bool wanted = acknowledged && traits().qemu && (protocol_ & wire::kReplyAck);
  const uint32_t flags = wire::kVersion | (wanted ? wire::kNeedReply : 0);
  if (!send_message(control_.get(), {request, flags, 0}, body, fds)) return failed(request);
  if (!wanted) return true;
  Message reply;
  if (!receive_message(control_.get(), reply)) return failed(request);
  const auto* status = reply.as<uint64_t>();
  return (reply.header.request == request && status && *status == 0) || failed(request);
}

bool FrontEnd::tell_number(wire::Request request, uint64_t value, int fd) {
  return fd < 0 ? tell(request, bytes_of(value)) : tell(request, bytes_of(value), std::span(&fd, 1), true);
}

bool FrontEnd::failed(wire::Request request) {
  complain("vhost-user request %u failed", request);
  return false;
}

}  // namespace preload
