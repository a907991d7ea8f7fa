#include "mapping.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <new>

#include "thread.h"

namespace vmb {

namespace {

/** The page size of a mapping of this file: huge ones must start, end and be unmapped on their own
 * boundaries. */
uint64_t PageSize(int fd) {
  struct statfs file_system;
  const bool huge = fstatfs(fd, &file_system) == 0 && file_system.f_type == HUGETLBFS_MAGIC;
  return huge ? static_cast<uint64_t>(file_system.f_bsize) : static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

bool IsTooShort(int fd, uint64_t end) {
  struct stat file;
  return fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && static_cast<uint64_t>(file.st_size) < end;
}

struct Range {
  void* base;
  size_t length;
};

/**
 * The last mapping of a node may be what holds its file open: then munmap runs the driver's release, which
 * can wait for the hardware for seconds.
 */
void UnmapNode(void* base, size_t length) {
  auto* range = new (std::nothrow) Range{base, length};
  const auto run = [](void* argument) -> void* {
    auto* range = static_cast<Range*>(argument);
    munmap(range->base, range->length);
    delete range;
    return nullptr;
  };
  if (range != nullptr && StartThread(run, range, nullptr) == 0) return;
  delete range;
  munmap(base, length);
}

}  // namespace

std::shared_ptr<Mapping> Mapping::Map(int fd, uint64_t offset, uint64_t size, Source source) {
  const uint64_t page = PageSize(fd);
  const uint64_t skip = offset % page;
  constexpr uint64_t kEnd = uint64_t{1} << 62;
  const bool in_range = size > 0 && size < kEnd && offset < kEnd;
  // A node's offset is the name of a plane, not a place in a file.
  if (!in_range || (source == Source::kNode && skip != 0) || IsTooShort(fd, offset + size)) {
    errno = EINVAL;
    return nullptr;
  }
  const uint64_t length = (skip + size + page - 1) / page * page;
  void* base =
      mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset - skip));
  if (base == MAP_FAILED) return nullptr;
  return std::shared_ptr<Mapping>(new Mapping(base, length, skip, size, source));
}

Mapping::~Mapping() {
  if (source_ == Source::kNode) {
    UnmapNode(base_, length_);
  } else {
    munmap(base_, length_);
  }
}

}  // namespace vmb
