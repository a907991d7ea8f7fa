#pragma once

#include <linux/videodev2.h>

#include <bit>
#include <cstddef>

// The wire format of virtio-media is the 64-bit little-endian form of these structures.
static_assert(sizeof(void*) == 8 && std::endian::native == std::endian::little);

#ifndef VIDIOC_REMOVE_BUFS  // Linux 6.10
struct v4l2_remove_buffers {
  __u32 index;
  __u32 count;
  __u32 type;
  __u32 reserved[13];
};
#define VIDIOC_REMOVE_BUFS _IOWR('V', 104, struct v4l2_remove_buffers)
#endif

namespace vmb {

/** v4l2_create_buffers as of Linux 6.8. Before, max_num_buffers was a reserved field. */
struct CreateBuffers {
  __u32 index;
  __u32 count;
  __u32 memory;
  v4l2_format format;
  __u32 capabilities;
  __u32 flags;
  __u32 max_num_buffers;
  __u32 reserved[5];
};
static_assert(sizeof(CreateBuffers) == sizeof(v4l2_create_buffers));
static_assert(offsetof(CreateBuffers, flags) == offsetof(v4l2_create_buffers, flags));

}  // namespace vmb
