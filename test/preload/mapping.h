// mmap and munmap of nodes: which addresses of the program are mappings of ours.
#pragma once

#include <memory>
#include <sys/types.h>

#include "session.h"

namespace preload {

// As mmap. On an error: MAP_FAILED and errno.
void* map_buffer(const std::shared_ptr<Session>& session, void* address, size_t length, int protection, int flags,
                 off_t offset);

// Called before the range is unmapped or mapped again: sends MUNMAP for each part of a mapping in it.
void release_mappings(void* address, size_t length);

// Whether the program has anything mapped in this part of the device's SHM region 0.
bool is_mapped(const Device& device, uint64_t offset, uint64_t length);

}  // namespace preload
