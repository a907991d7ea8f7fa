// vhost-user (docs/interop/vhost-user.rst) and virtio-media (VIRTIO 1.4, "Media Device"): numbers and records
// on the wire.
#pragma once

#include <cstdint>
#include <linux/videodev2.h>

namespace preload::wire {

struct MessageHeader {
  uint32_t request, flags, size;
};
constexpr uint32_t kVersion = 1, kReply = 4, kNeedReply = 8;

enum Request : uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kSetVringErr = 14,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
  kSetBackendReqFd = 21,
  kGetConfig = 24,
  kGetShmemConfig = 44,
};
enum BackendRequest : uint32_t { kShmemMap = 9, kShmemUnmap = 10 };

constexpr uint64_t bit(unsigned n) { return uint64_t{1} << n; }
constexpr uint64_t kIndirect = bit(28), kEventIdx = bit(29), kProtocolFeatures = bit(30), kVersion1 = bit(32);
constexpr uint64_t kMq = bit(0), kReplyAck = bit(3), kBackendReq = bit(5), kConfig = bit(9), kBackendSendFd = bit(10),
                   kShmem = bit(22);

struct VringState {
  uint32_t index, num;
};
// The address of the used ring comes before that of the available ring.
struct VringAddress {
  uint32_t index, flags;
  uint64_t descriptors, used, available, log;
};
struct MemoryRegion {
  uint64_t guest_address, size, user_address, mmap_offset;
};
constexpr unsigned kMaxRegions = 8;
struct MemoryTable {
  uint32_t count, padding;
  MemoryRegion regions[kMaxRegions];
};
struct ConfigHeader {
  uint32_t offset, size, flags;
};
struct ShmemMap {
  uint8_t id, padding[7];
  uint64_t fd_offset, shm_offset, length, flags;
};
struct ShmemConfig {
  uint32_t count, padding;
  uint64_t sizes[256];
};

struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
};
constexpr uint16_t kNext = 1, kWrite = 2, kIndirectTable = 4;
struct UsedElement {
  uint32_t id, length;
};

enum Command : uint32_t { kOpen = 1, kClose = 2, kIoctl = 3, kMmap = 4, kMunmap = 5 };
enum EventKind : uint32_t { kError = 0, kDqbuf = 1, kEvent = 2 };

// docs/stateless.md: ioctl codes in addition to those of V4L2. The payload is a handle.
enum RequestCode : uint32_t { kRequestAlloc = 192, kRequestQueue = 193, kRequestReinit = 194, kRequestClose = 195 };

struct CommandHeader {
  uint32_t command, reserved;
};
struct ResponseHeader {
  uint32_t status, reserved;
};
struct OpenResponse {
  uint32_t status, reserved, session, reserved2;
};
struct CloseCommand {
  uint32_t command, reserved, session, reserved2;
};
struct IoctlCommand {
  uint32_t command, reserved, session, code;
};
// 20 bytes: no tail padding.
struct MmapCommand {
  uint32_t command, reserved, session, flags, offset;
};
constexpr uint32_t kMmapWritable = 1;
struct MmapResponse {
  uint32_t status, reserved;
  uint64_t address, length;
};
struct MunmapCommand {
  uint32_t command, reserved;
  uint64_t address;
};
struct SgEntry {
  uint64_t start;
  uint32_t length, reserved;
};
struct Event {
  uint32_t kind, session;
  union {
    struct {
      v4l2_buffer buffer;
      v4l2_plane planes[VIDEO_MAX_PLANES];
    } dqbuf;
    v4l2_event event;
    uint32_t error;
  };
};
static_assert(sizeof(Event) == 608 && sizeof(MmapCommand) == 20 && sizeof(VringAddress) == 40 &&
              sizeof(ShmemMap) == 40 && sizeof(ShmemConfig) == 2056);

struct Config {
  uint32_t device_caps, device_type;
  char card[32];
};

using Uuid = uint8_t[16];

}  // namespace preload::wire
