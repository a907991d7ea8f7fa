// Makes pages of a program part of guest memory: its buffers of memory type USERPTR ("SHARED_PAGES").
#pragma once

#include <vector>

#include "guest_ram.h"

namespace preload {

// Appends the SG list of [user, user + bytes). Pages that are not in guest memory yet are moved there:
// contents and addresses stay, but the pages behind them are scattered. A list may start and end within a
// page. Returns 0 or a negative errno: EFAULT if a part is not mapped or is shared with other processes.
int list_user_pages(GuestRam& ram, uint64_t user, size_t bytes, std::vector<wire::SgEntry>& list);

}  // namespace preload
