// Virtio objects: descriptors of the program that stand for UUIDs of the device.
#pragma once

#include "wire.h"

namespace preload {

// A new descriptor that stands for the object, or a negative errno. `flags`: as VIDIOC_EXPBUF has them.
int make_object(const wire::Uuid& uuid, uint32_t flags);

// The object behind a descriptor, also behind a copy of it. False: it stands for none.
bool find_object(int fd, wire::Uuid& uuid);

}  // namespace preload
