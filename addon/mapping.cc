#include "mapping.h"

#include <errno.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "cut_memory.h"
#include "thread.h"

namespace vmb {

namespace {

/** The page size of a mapping of this file, in bytes. A mapping of huge pages must start, end and be unmapped
 * on boundaries of huge pages. */
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
  uint8_t* base;
  size_t length;
  /** Bytes that one munmap call unmaps. */
  size_t step;
};

/** Bytes. A mapping of many pieces is unmapped in steps of this size, because no thread of this process can
 * fault in a page while munmap runs. */
constexpr size_t kUnmapStep = size_t{1} << 20;
/** To unmap up to so many runs takes less time than to start a thread. */
constexpr size_t kFewRuns = 64;

/**
 * Unmaps on a thread of its own. The last mapping of a node may be the last reference to the open file: then
 * munmap runs the driver's release, which can wait for the hardware for seconds. And a mapping of many pieces
 * is many mappings to the kernel. If no thread can be started, the calling thread unmaps.
 */
void UnmapElsewhere(void* base, size_t length, size_t step) {
  auto* range = new (std::nothrow) Range{static_cast<uint8_t*>(base), length, step};
  const auto run = [](void* argument) -> void* {
    auto* range = static_cast<Range*>(argument);
    for (size_t at = 0; at < range->length; at += range->step) {
      munmap(range->base + at, std::min(range->step, range->length - at));
    }
    delete range;
    return nullptr;
  };
  if (range != nullptr && StartThread(run, range, nullptr) == 0) return;
  delete range;
  munmap(base, length);
}

/** Pages of one mapping that follow each other in memory. `start`: an address; `length`: bytes. */
struct Run {
  const Mapping* of;
  uint64_t start;
  uint64_t length;
};

/** What Join is going to map: `size` bytes. The first one is `skip` bytes behind the start of its page. */
struct Plan {
  uint64_t page;
  uint64_t skip = 0;
  uint64_t size = 0;
  std::vector<Run> runs = {};
};

/** Adds a piece to the plan. False: the piece cannot be mapped, or cannot follow the pieces before it. */
bool Append(Plan& plan, const Mapping::Piece& piece) {
  const bool usable = piece.of->source() == Mapping::Source::kMemory && piece.length > 0;
  if (!usable || !piece.of->Contains(piece.offset, piece.length)) return false;
  auto start = reinterpret_cast<uint64_t>(piece.of->data() + piece.offset);
  uint64_t length = piece.length;
  plan.size += length;
  if (plan.runs.empty()) {
    plan.skip = start % plan.page;
    start -= plan.skip;
    length += plan.skip;
  }
  Run* last = plan.runs.empty() ? nullptr : &plan.runs.back();
  if (start % plan.page != 0 || (last != nullptr && last->length % plan.page != 0)) return false;
  // Adjacent addresses of two mappings may be pages of two files.
  if (last != nullptr && last->of == piece.of.get() && last->start + last->length == start) {
    last->length += length;
  } else {
    plan.runs.push_back({piece.of.get(), start, length});
  }
  return true;
}

/** Maps the pages of the runs once more at `target`, one run after the other. Returns an errno. */
int Duplicate(std::span<const Run> runs, uint8_t* target) {
  for (const Run& run : runs) {
    // mremap(2): an old size of 0 maps the pages of a shared mapping once more.
    void* moved =
        mremap(reinterpret_cast<void*>(run.start), 0, run.length, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    if (moved == MAP_FAILED) return errno;
    target += run.length;
  }
  return 0;
}

/** Guards a mapping against a file that is truncated (cut_memory.h). Null: that failed; errno is ENOMEM, and
 * the mapping is unmapped. */
std::shared_ptr<Mapping> Guarded(std::shared_ptr<Mapping> mapping, void* base, size_t length) {
  if (GuardMapping(base, length)) return mapping;
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

std::shared_ptr<Mapping> Mapping::Map(int fd, uint64_t offset, uint64_t size, Source source) {
  const uint64_t page = PageSize(fd);
  const uint64_t skip = offset % page;
  constexpr uint64_t kEnd = uint64_t{1} << 62;
  const bool in_range = size > 0 && size < kEnd && offset < kEnd;
  // An offset of a node names a plane. It is no position in a file, so it cannot be rounded down.
  if (!in_range || (source == Source::kNode && skip != 0) || IsTooShort(fd, offset + size)) {
    errno = EINVAL;
    return nullptr;
  }
  const uint64_t length = (skip + size + page - 1) / page * page;
  void* base =
      mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(offset - skip));
  if (base == MAP_FAILED) return nullptr;
  auto mapping = std::shared_ptr<Mapping>(new Mapping(base, length, skip, size, source));
  return source == Source::kNode ? mapping : Guarded(std::move(mapping), base, length);
}

std::shared_ptr<Mapping> Mapping::Join(std::span<const Piece> pieces) {
  Plan plan{static_cast<uint64_t>(sysconf(_SC_PAGESIZE))};
  const bool joined =
      !pieces.empty() && std::ranges::all_of(pieces, [&](const Piece& piece) { return Append(plan, piece); });
  if (!joined) {
    errno = EINVAL;
    return nullptr;
  }
  Run& last = plan.runs.back();
  last.length = (last.length + plan.page - 1) / plan.page * plan.page;
  const uint64_t length = (plan.skip + plan.size + plan.page - 1) / plan.page * plan.page;
  void* base = mmap(nullptr, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return nullptr;
  const int error = Duplicate(plan.runs, static_cast<uint8_t*>(base));
  if (error == 0)
    return Guarded(std::shared_ptr<Mapping>(new Mapping(base, length, plan.skip, plan.size, Source::kPieces,
                                                        plan.runs.size() > kFewRuns)),
                   base, length);
  // The reservation has no hole that another mapping could have taken, because mremap checks the limits
  // before it unmaps its target. So the whole range can be unmapped.
  munmap(base, length);
  errno = error;
  return nullptr;
}

Mapping::~Mapping() {
  if (source_ != Source::kNode) UnguardMapping(base_);
  if (source_ == Source::kNode || slow_) {
    UnmapElsewhere(base_, length_, slow_ ? kUnmapStep : length_);
  } else {
    munmap(base_, length_);
  }
}

}  // namespace vmb
