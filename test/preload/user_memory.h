// Access to the program's memory as the kernel does it: memory that does not exist causes EFAULT, not a
// signal.
#pragma once

#include <cstddef>

namespace preload {

bool copy_from_user(void* to, const void* user, size_t bytes);
bool copy_to_user(void* user, const void* from, size_t bytes);

}  // namespace preload
