// The part of v4l2-core that every ioctl passes through.
#pragma once

#include <memory>

#include "session.h"

namespace preload {

// Returns 0 or a negative errno.
int core_ioctl(Session& session, unsigned request, void* argument, bool non_blocking);

}  // namespace preload
