// Virtio objects: descriptors of the program that stand for UUIDs of the device.
#pragma once

#include <memory>
#include <sys/types.h>

#include "wire.h"

namespace preload {

class Session;

struct Object {
  wire::Uuid uuid;
  // The buffer that was exported: where its session's mmap has it.
  std::weak_ptr<Session> session;
  off_t offset;
};

// A new descriptor that stands for the object, of `bytes` bytes, or a negative errno. `flags`: as VIDIOC_EXPBUF has them.
int make_object(Object object, size_t bytes, uint32_t flags);

// The object behind a descriptor, also behind a copy of it. Null: it stands for none.
const Object* find_object(int fd);

}  // namespace preload
