#pragma once

#include <cstddef>

namespace vmb {

/**
 * The owner of a file can cut it off while it is mapped here: touching what lies behind its end is a SIGBUS.
 * From here on, such a fault puts zeroed memory of ours in the place of the whole mapping, and the process
 * goes on; a fault anywhere else ends it as before. False: no memory for the entry.
 */
bool GuardMapping(void* base, size_t length);

/** Before the mapping is unmapped. */
void UnguardMapping(void* base);

}  // namespace vmb
