#pragma once

#include <napi.h>

#include <array>
#include <cstdint>
#include <span>

#include "v4l2_uapi.h"

// Translation of struct v4l2_buffer and its v4l2_plane records between a guest and the host's kernel. The data plane and
// the loop (src/v4l2/record-translation.ts) both use it. Records are changed in place.

namespace vmb {

using BufferPlanes = std::array<v4l2_plane, VIDEO_MAX_PLANES>;

/** What the host's kernel gets that the guest does not decide. */
struct HostBuffer {
  uint32_t memory;
  /** The bits of v4l2_buffer.flags that a guest may set. */
  uint32_t guest_flags;
  /** Bytes of each plane. A single-planar buffer has one, or none. */
  std::span<const uint32_t> lengths;
};

/** What the guest sees of a plane in place of the host's values. */
struct GuestPlane {
  /** The union m. */
  uint64_t m;
  uint32_t length;
};

/** What the guest sees in place of the host's values. */
struct GuestBuffer {
  uint32_t memory;
  /** Those of V4L2_BUF_FLAG_REQUEST_FD and IN_REQUEST that this guest sees if the kernel has set them. */
  uint32_t shown_flags;
  /** V4L2_BUF_FLAG_MAPPED, or 0. */
  uint32_t added_flags;
  uint32_t request_fd;
  /** The record is that of DQBUF: the buffer is neither queued nor done any more. */
  bool dequeued;
  /** The record's m, if it has planes of its own: the guest's pointer to them. */
  uint64_t pointer;
  /** A single-planar buffer has one. None: m is `pointer`, lengths and planes are the host's. */
  std::span<const GuestPlane> planes;
};

/** A copy of the fields, with pointers, descriptors, reserved fields and the padding zero. */
v4l2_buffer Fields(const v4l2_buffer& from);

/** Makes the guest's records those of the host's kernel. Pointers and descriptors are 0. */
void ToHost(v4l2_buffer& record, std::span<v4l2_plane> planes, const HostBuffer& own);

/** Makes the host's records those of the guest. */
void ToGuest(v4l2_buffer& record, std::span<v4l2_plane> planes, const GuestBuffer& own);

/** The functions hostBuffer and guestBuffer of JavaScript. */
void ExportBufferRecords(Napi::Env env, Napi::Object exports);

}  // namespace vmb
