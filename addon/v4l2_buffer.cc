#include <fcntl.h>

#include <array>
#include <memory>
#include <optional>

#include "arguments.h"
#include "call_reader.h"
#include "linear_mapping.h"
#include "mapping.h"
#include "node_call.h"
#include "region.h"
#include "unique_fd.h"
#include "v4l2_uapi.h"

namespace vmb {

namespace {

/** Clears the union of a buffer or plane, except the offset of an MMAP plane: the other members are pointers
 * and descriptors. */
template <typename Union>
void Scrub(Union& m, uint32_t offset, uint32_t memory) {
  m.userptr = memory == V4L2_MEMORY_MMAP ? offset : 0;
}

/** A v4l2_buffer and its planes. No pointer or descriptor in the caller's record reaches the kernel, and none
 * in the kernel's record reaches the caller. */
class BufferCall : public NodeCall {
 public:
  explicit BufferCall(unsigned long request) : request_(request) {}

  bool Parse(CallReader& reader) {
    reader.Copy(reader.Get("buffer"), BytesOf(buffer_));
    const Napi::Value planes = reader.Get("planes");
    size_t bytes = 0;
    if (reader.ok() && !planes.IsUndefined()) bytes = reader.CopyUpTo(planes, BytesOf(planes_));
    plane_count_ = bytes / sizeof(v4l2_plane);
    if (!reader.ok() || bytes % sizeof(v4l2_plane) != 0) return false;
    // There must be planes if the type is multi-planar, and only then.
    if (IsPlanar() == planes.IsUndefined() || (IsPlanar() && buffer_.length != plane_count_)) return false;
    HidePointers();
    if (!ParseMediaRequest(reader)) return false;
    return request_ == VIDIOC_QUERYBUF || IsCarried();
  }

  /** Gives each plane the memory that `memory` names, if the record says USERPTR. False: it is malformed. */
  bool ParseMemory(CallReader& reader) {
    if (buffer_.memory != V4L2_MEMORY_USERPTR) return true;
    const Napi::Value list = reader.Get("memory");
    if (reader.LengthOf(list) != PlaceCount()) return false;
    for (uint32_t i = 0; i < PlaceCount(); i++) {
      CallReader place(reader.At(list, i));
      const bool placed = IsPlanar() ? Place(place, i, planes_[i].m.userptr, planes_[i].length)
                                     : Place(place, i, buffer_.m.userptr, buffer_.length);
      if (!placed) return false;
    }
    return true;
  }

  /** Reads the DMABUF of each plane from `descriptors` if the record says DMABUF. False: it is malformed. */
  bool ParseDescriptors(CallReader& reader) {
    if (buffer_.memory != V4L2_MEMORY_DMABUF) return true;
    const Napi::Value list = reader.Get("descriptors");
    if (reader.LengthOf(list) != PlaceCount()) return false;
    for (uint32_t i = 0; i < PlaceCount(); i++) {
      if (!ParseNumber(reader, reader.At(list, i), i)) return false;
    }
    return true;
  }

  /** Duplicates the descriptors that the caller lends. */
  void Duplicate() {
    // All numbers are checked before the first is duplicated: that duplicate may get a number that is free
    // now and that the caller has passed by mistake.
    for (const std::optional<int> fd : numbers_) {
      if (fd && error_ == 0 && fcntl(*fd, F_GETFD) < 0) error_ = errno;
    }
    for (size_t i = 0; i < kDescriptors; i++) {
      if (!numbers_[i] || error_ != 0) continue;
      descriptors_[i].Reset(fcntl(*numbers_[i], F_DUPFD_CLOEXEC, 0));
      if (!descriptors_[i]) error_ = errno;
    }
  }

  int Run(OpenNode& node) override {
    for (uint32_t i = 0; i < PlaceCount(); i++) {
      if (descriptors_[i]) (IsPlanar() ? planes_[i].m.fd : buffer_.m.fd) = descriptors_[i].get();
    }
    if (IsPlanar()) buffer_.m.planes = planes_.data();
    const uint32_t flags = buffer_.flags;
    if (const UniqueFd& media_request = descriptors_[kMediaRequest]) {
      buffer_.flags |= V4L2_BUF_FLAG_REQUEST_FD;
      buffer_.request_fd = media_request.get();
    }
    const int error = error_ != 0 ? error_ : Ioctl(node.fd(), request_, &buffer_);
    // The kernel does not change a record that it refuses.
    if (error != 0) buffer_.flags = flags;
    // If the kernel has refused the buffer, ours may be the last descriptors. This thread must close them,
    // not the loop.
    for (UniqueFd& descriptor : descriptors_) descriptor.Reset();
    HidePointers();
    return error;
  }

 private:
  bool IsPlanar() const { return V4L2_TYPE_IS_MULTIPLANAR(buffer_.type); }

  /** How many pieces of memory the buffer has: one for each plane, or one if the type is single-planar. */
  size_t PlaceCount() const { return IsPlanar() ? plane_count_ : 1; }

  bool ParseNumber(CallReader& reader, Napi::Value value, size_t index) {
    uint64_t number = 0;
    if (!reader.ok() || !ToInteger(reader.env(), value, INT32_MAX, number)) return false;
    numbers_[index] = static_cast<int>(number);
    return true;
  }

  /** Reads the media request that the buffer is queued to. Only `request` can name it, not the record. */
  bool ParseMediaRequest(CallReader& reader) {
    if (request_ == VIDIOC_DQBUF) return true;
    const Napi::Value request = reader.Get("request");
    if (request.IsUndefined()) return reader.ok();
    return request_ == VIDIOC_QBUF && ParseNumber(reader, request, kMediaRequest);
  }

  /** Whether the record may go to the kernel. If `request` is absent, V4L2_BUF_FLAG_REQUEST_FD must not be
   * set, because the kernel would then take a descriptor from the record. */
  bool IsCarried() const {
    const bool memory = buffer_.memory == V4L2_MEMORY_MMAP || buffer_.memory == V4L2_MEMORY_USERPTR ||
                        buffer_.memory == V4L2_MEMORY_DMABUF;
    return memory && (numbers_[kMediaRequest] || (buffer_.flags & V4L2_BUF_FLAG_REQUEST_FD) == 0);
  }

  void HidePointers() {
    Scrub(buffer_.m, IsPlanar() ? 0 : buffer_.m.offset, buffer_.memory);
    for (v4l2_plane& plane : planes_) Scrub(plane.m, plane.m.mem_offset, buffer_.memory);
    buffer_.request_fd = 0;
  }

  bool Place(CallReader& place, uint32_t index, unsigned long& address, uint32_t& length) {
    const Napi::Value region = place.Get("region");
    if (!place.ok()) return false;
    memory_[index] = Region::MappingOf(place.env(), region);
    if (memory_[index] == nullptr) memory_[index] = LinearMappingOf(place.env(), region);
    const uint64_t offset = place.Integer("offset");
    const uint64_t size = place.Integer("length", UINT32_MAX);
    if (!place.ok() || memory_[index] == nullptr || !memory_[index]->Contains(offset, size)) return false;
    address = reinterpret_cast<unsigned long>(memory_[index]->data() + offset);
    length = static_cast<uint32_t>(size);
    return true;
  }

  unsigned long request_;
  v4l2_buffer buffer_{};
  std::array<v4l2_plane, VIDEO_MAX_PLANES> planes_{};
  size_t plane_count_ = 0;
  /** The errno of a descriptor that could not be duplicated. */
  int error_ = 0;
  /** Keeps the memory mapped until the kernel has pinned the pages. */
  std::array<std::shared_ptr<Mapping>, VIDEO_MAX_PLANES> memory_;
  /** The descriptors that the caller lends, and our duplicates: a DMABUF for each plane, then the media
   * request. */
  static constexpr size_t kMediaRequest = VIDEO_MAX_PLANES;
  static constexpr size_t kDescriptors = VIDEO_MAX_PLANES + 1;
  std::array<std::optional<int>, kDescriptors> numbers_;
  std::array<UniqueFd, kDescriptors> descriptors_;
};

struct Row {
  unsigned long request;
  bool takes_memory;
};

constexpr Row kRows[] = {{VIDIOC_QUERYBUF, false}, {VIDIOC_QBUF, true}, {VIDIOC_PREPARE_BUF, true}};

}  // namespace

std::unique_ptr<NodeCall> ParseBuffer(CallReader& reader) {
  const uint64_t number = reader.Integer("nr");
  for (const Row& row : kRows) {
    if (!reader.ok() || _IOC_NR(row.request) != number) continue;
    auto call = std::make_unique<BufferCall>(row.request);
    const bool parsed = call->Parse(reader) &&
                        (!row.takes_memory || (call->ParseMemory(reader) && call->ParseDescriptors(reader)));
    if (!parsed) return nullptr;
    call->Duplicate();
    return call;
  }
  return nullptr;
}

std::unique_ptr<NodeCall> ParseDequeueBuffer(CallReader& reader) {
  auto call = std::make_unique<BufferCall>(VIDIOC_DQBUF);
  return call->Parse(reader) ? std::move(call) : nullptr;
}

}  // namespace vmb
