// A program's pages made part of guest memory: its buffers of memory type USERPTR ("SHARED_PAGES").
#pragma once

#include <vector>

#include "guest_ram.h"

namespace preload {

// Appends the SG list of [user, user + bytes), moving pages into guest memory that are not there yet: contents and
// addresses stay, the pages behind them are scattered. A list may start and end within a page. 0 or a negative errno:
// EFAULT where nothing is mapped, or something that others share.
int list_user_pages(GuestRam& ram, uint64_t user, size_t bytes, std::vector<wire::SgEntry>& list);

}  // namespace preload
