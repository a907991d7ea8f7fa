#pragma once

#include <cstddef>

namespace vmb {

/**
 * The owner of a file can truncate it while it is mapped here. An access behind the new end raises SIGBUS.
 * After this call, a fault in the mapping replaces the whole mapping with zeroed memory of this process, and
 * the process goes on. A fault anywhere else ends the process as before. False: no memory for the entry.
 */
bool GuardMapping(void* base, size_t length);

/** Must be called before the mapping is unmapped. */
void UnguardMapping(void* base);

}  // namespace vmb
