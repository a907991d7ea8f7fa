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
  uint8_t* base;
  size_t length;
  /** Bytes that are unmapped at once. */
  size_t step;
};

/** Many pieces are unmapped so many bytes at a time: meanwhile nobody can touch a new page of this process. */
constexpr size_t kUnmapStep = size_t{1} << 20;
/** Runs that are sooner unmapped than a thread is started. */
constexpr size_t kFewRuns = 64;

/**
 * The last mapping of a node may be what holds its file open: then munmap runs the driver's release, which
 * can wait for the hardware for seconds. And a mapping of many pieces is many to the kernel.
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

/** Pages that follow each other in memory, within one mapping. */
struct Run {
  const Mapping* of;
  uint64_t start;
  uint64_t length;
};

/** What Join is going to map: `size` bytes, the first of them `skip` bytes into its page. */
struct Plan {
  uint64_t page;
  uint64_t skip = 0;
  uint64_t size = 0;
  std::vector<Run> runs = {};
};

/** False: it cannot follow what is there. */
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
  // Neighbours of two mappings may be pages of two files.
  if (last != nullptr && last->of == piece.of.get() && last->start + last->length == start) {
    last->length += length;
  } else {
    plan.runs.push_back({piece.of.get(), start, length});
  }
  return true;
}

/** Puts the runs' pages at `target`, one after the other. Returns an errno. */
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

/** Null with ENOMEM, and nothing mapped, where the mapping cannot be guarded. */
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
  // A node's offset is the name of a plane, not a place in a file.
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
  // It has no hole where somebody else's memory could be by now: the limits are checked before mremap unmaps
  // its target.
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
