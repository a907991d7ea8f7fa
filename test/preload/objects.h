// Virtio objects: descriptors of the program that stand for UUIDs of the device.
#pragma once

#include <memory>
#include <sys/types.h>

#include "wire.h"

namespace preload {

class Session;

struct Object {
  wire::Uuid uuid;
  // The buffer that was exported, and its offset in the session's mmap.
  std::weak_ptr<Session> session;
  off_t offset;
};

// Makes a descriptor for the object, of `bytes` bytes. Returns it, or a negative errno. `flags`: as in
// VIDIOC_EXPBUF.
int make_object(Object object, size_t bytes, uint32_t flags);

// The object of a descriptor or of a copy of it. Null: the descriptor has no object.
const Object* find_object(int fd);

}  // namespace preload
