// mmap and munmap of a node: which of the program's addresses are mappings of ours.
#pragma once

#include <memory>
#include <sys/types.h>

#include "session.h"

namespace preload {

// As mmap. MAP_FAILED and errno on errors.
void* map_buffer(const std::shared_ptr<Session>& session, void* address, size_t length, int protection, int flags,
                 off_t offset);

// The range is about to be unmapped or mapped anew: MUNMAP for each piece of a mapping in it.
void release_mappings(void* address, size_t length);

// Whether a program has something mapped of this piece of a device's window.
bool is_mapped(const Device& device, uint64_t offset, uint64_t length);

}  // namespace preload
