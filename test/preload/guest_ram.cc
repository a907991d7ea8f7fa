#include "guest_ram.h"

#include <algorithm>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "settings.h"

namespace preload {
namespace {

// If VMB_PRELOAD_RAM says nothing.
constexpr size_t kBytes = size_t{1} << 30;
// The first half, but at most this much, is below 4 GiB. The rest is at 4 GiB and above.
constexpr size_t kMostLow = size_t{2} << 30;
constexpr uint64_t kHigh = uint64_t{1} << 32;
// Pages for rings, which must be contiguous.
constexpr size_t kContiguousPages = 2048;
constexpr size_t kScatteredRun = 4;

size_t total() { return Settings::get().ram != 0 ? Settings::get().ram : kBytes; }

size_t used() { return Settings::get().used_ram != 0 ? Settings::get().used_ram : total(); }

size_t split() { return std::min(total() / 2, kMostLow); }

}  // namespace

GuestRam* GuestRam::get() {
  static GuestRam* const ram = []() -> GuestRam* {
    const size_t bytes = total();
    UniqueFd fd(memfd_create("preload-guest-ram", MFD_CLOEXEC));
    if (!fd || ftruncate(fd.get(), bytes) != 0) return nullptr;
    void* base = real::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
    return base == MAP_FAILED ? nullptr : new GuestRam(std::move(fd), static_cast<uint8_t*>(base));
  }();
  return ram;
}

GuestRam::GuestRam(UniqueFd fd, uint8_t* base) : fd_(std::move(fd)), base_(base), used_(used() / kPage) {
  struct stat status;
  fstat(fd_.get(), &status);
  device_ = status.st_dev;
  inode_ = status.st_ino;
  // Page 0 is not used, so that a guest address of 0 is always an error.
  used_[0] = true;
}

uint64_t GuestRam::address(size_t offset) const { return offset < split() ? offset : kHigh + (offset - split()); }

std::vector<wire::MemoryRegion> GuestRam::regions() const {
  const auto user = reinterpret_cast<uint64_t>(base_);
  const size_t low = split();
  return {{0, low, user, 0}, {kHigh, total() - low, user + low, low}};
}

GuestRam::Run GuestRam::take_contiguous(size_t count) {
  std::lock_guard lock(mutex_);
  for (size_t page = 1, free = 0; page < kContiguousPages; page++) {
    free = used_[page] ? 0 : free + 1;
    if (free == count) return occupy(page + 1 - count, count);
  }
  return {0, 0};
}

GuestRam::Run GuestRam::take_scattered(size_t most) {
  std::lock_guard lock(mutex_);
  const size_t span = used_.size() - kContiguousPages;
  const size_t wanted = std::min(most, 1 + random() % kScatteredRun);
  const size_t start = random() % span;
  for (size_t step = 0; step < span; step++) {
    const size_t page = kContiguousPages + (start + step) % span;
    if (used_[page]) continue;
    size_t count = 1;
    while (count < wanted && page + count < used_.size() && !used_[page + count]) count++;
    return occupy(page, count);
  }
  return {0, 0};
}

void GuestRam::give(Run run) {
  std::lock_guard lock(mutex_);
  for (size_t page = run.page; page < run.page + run.count; page++) used_[page] = false;
}

GuestRam::Run GuestRam::occupy(size_t page, size_t count) {
  for (size_t each = page; each < page + count; each++) used_[each] = true;
  return {page, count};
}

uint32_t GuestRam::random() {
  state_ ^= state_ << 13;
  state_ ^= state_ >> 17;
  state_ ^= state_ << 5;
  return state_;
}

}  // namespace preload
