#include "user_pages.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include "settings.h"

namespace preload {
namespace {

// The kernel's answer about a mapping is the only record of moved pages. Programs unmap memory without this
// library's knowledge (free() does), and the same addresses may then be used for other pages.
bool find_mapping(uint64_t address, procmap_query* query) {
  static const int maps = real::open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
  *query = {};
  query->size = sizeof *query;
  query->query_addr = address;
  if (real::ioctl(maps, PROCMAP_QUERY, query) == 0) return true;
  if (errno == ENOTTY) complain("USERPTR needs a kernel with PROCMAP_QUERY (6.11)");
  return false;
}

int protection_of(const procmap_query& query) {
  return (query.vma_flags & PROCMAP_QUERY_VMA_READABLE ? PROT_READ : 0) |
         (query.vma_flags & PROCMAP_QUERY_VMA_WRITABLE ? PROT_WRITE : 0) |
         (query.vma_flags & PROCMAP_QUERY_VMA_EXECUTABLE ? PROT_EXEC : 0);
}

bool move(GuestRam& ram, uint64_t start, uint64_t end, int protection) {
  while (start < end) {
    const GuestRam::Run run = ram.take_scattered((end - start) / kPage);
    if (run.count == 0) return false;
    auto* const user = reinterpret_cast<void*>(start);
    memcpy(ram.at(run.page), user, run.count * kPage);
    if (real::mmap(user, run.count * kPage, protection, MAP_SHARED | MAP_FIXED, ram.fd(),
                   static_cast<off_t>(run.page * kPage)) == MAP_FAILED)
      return false;
    start += run.count * kPage;
  }
  return true;
}

}  // namespace

int list_user_pages(GuestRam& ram, uint64_t user, size_t bytes, std::vector<wire::SgEntry>& list) {
  const uint64_t end = user + bytes;
  if (bytes == 0 || end < user) return -EINVAL;
  for (uint64_t at = user; at < end;) {
    procmap_query query;
    if (!find_mapping(at, &query)) return -EFAULT;
    const bool ours = ram.is_backed_by(makedev(query.dev_major, query.dev_minor), query.inode);
    if (!ours) {
      const uint64_t last = std::min<uint64_t>((end + kPage - 1) / kPage * kPage, query.vma_end);
      if (query.vma_flags & PROCMAP_QUERY_VMA_SHARED) return -EFAULT;
      if (!(query.vma_flags & PROCMAP_QUERY_VMA_READABLE)) return -EFAULT;
      if (!move(ram, at / kPage * kPage, last, protection_of(query))) return -ENOMEM;
      continue;
    }
    const uint64_t stop = std::min<uint64_t>(end, query.vma_end);
    for (uint64_t offset = query.vma_offset + (at - query.vma_start); at < stop;) {
      const uint64_t length = std::min(stop - at, kPage - offset % kPage);
      list.push_back({ram.address(offset), static_cast<uint32_t>(length), 0x5a5a'5a5a});
      at += length;
      offset += length;
    }
  }
  return 0;
}

}  // namespace preload
