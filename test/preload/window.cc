#include "window.h"

#include <cerrno>
#include <sys/mman.h>

namespace preload {
namespace {

constexpr size_t kPageSize = 4096;
// A PC places a 64-bit BAR above all RAM.
constexpr uint64_t kGuestAddress = uint64_t{1} << 39;

}  // namespace

bool Window::reserve(uint64_t bytes) {
  if (bytes == 0) return true;
  void* place = real::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return false;
  base_ = static_cast<uint8_t*>(place);
  size_ = bytes;
  return true;
}

bool Window::map(const wire::ShmemMap& request, UniqueFd fd) {
  std::lock_guard lock(mutex_);
  const auto [id, padding, fd_offset, start, length, flags] = request;
  if (id != 0 || !fd || length == 0 || start > size_ || length > size_ - start) return false;
  const auto after = mapped_.lower_bound(start);
  if (after != mapped_.end() && after->first < start + length) return false;
  if (after != mapped_.begin() && std::prev(after)->first + std::prev(after)->second.length > start) return false;
  const int protection = flags & 1 ? PROT_READ | PROT_WRITE : PROT_READ;
  if (real::mmap(base_ + start, length, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd.get(), fd_offset) ==
      MAP_FAILED)
    return false;
  mapped_.emplace(start, Mapped{length, fd_offset, std::move(fd)});
  return true;
}

bool Window::unmap(const wire::ShmemMap& request) {
  std::lock_guard lock(mutex_);
  const auto found = mapped_.find(request.shm_offset);
  if (request.id != 0 || found == mapped_.end() || found->second.length != request.length) return false;
  real::mmap(base_ + request.shm_offset, request.length, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
  mapped_.erase(found);
  return true;
}

const Window::Mapped* Window::covering(uint64_t offset, uint64_t* start) {
  auto after = mapped_.upper_bound(offset);
  if (after == mapped_.begin()) return nullptr;
  --after;
  *start = after->first;
  return offset - after->first < after->second.length ? &after->second : nullptr;
}

int Window::view(uint64_t offset, size_t length, int protection, int flags, void** address) {
  std::lock_guard lock(mutex_);
  const size_t whole = (length + kPageSize - 1) / kPageSize * kPageSize;
  void* place = real::mmap(*address, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (flags & ~MAP_TYPE),
                           -1, 0);
  if (place == MAP_FAILED) return errno;
  auto* at = static_cast<uint8_t*>(place);
  for (size_t done = 0; done < whole;) {
    uint64_t start;
    const Mapped* mapped = covering(offset + done, &start);
    const uint64_t within = mapped ? offset + done - start : 0;
    const size_t piece = mapped ? std::min<uint64_t>(whole - done, mapped->length - within) : 0;
    if (!mapped || real::mmap(at + done, piece, protection, MAP_SHARED | MAP_FIXED, mapped->fd.get(),
                              static_cast<off_t>(mapped->fd_offset + within)) == MAP_FAILED) {
      const int failure = mapped ? errno : EIO;
      real::munmap(place, whole);
      return failure;
    }
    done += piece;
  }
  *address = place;
  return 0;
}

std::vector<Window::Echo> Window::echoes() {
  std::lock_guard lock(mutex_);
  std::vector<Echo> echoes;
  for (const auto& [start, mapped] : mapped_)
    echoes.push_back({{kGuestAddress + start, mapped.length, reinterpret_cast<uint64_t>(base_) + start,
                       mapped.fd_offset},
                      mapped.fd.get()});
  return echoes;
}

}  // namespace preload
