// The program's memory as a kernel sees it: reading or writing what is not there is EFAULT, not a signal.
#pragma once

#include <cstddef>

namespace preload {

bool copy_from_user(void* to, const void* user, size_t bytes);
bool copy_to_user(void* user, const void* from, size_t bytes);

}  // namespace preload
