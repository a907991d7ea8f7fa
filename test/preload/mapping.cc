#include "mapping.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <sys/mman.h>
#include <vector>

#include "device.h"
#include "files.h"

namespace preload {
namespace {

constexpr size_t kPageSize = 4096;

size_t whole_pages(size_t bytes) { return (bytes + kPageSize - 1) / kPageSize * kPageSize; }

// A mapping keeps the session open, as a mapping pins a file.
struct Mapped {
  uintptr_t end;
  uint64_t address;
  std::shared_ptr<Session> session;
};

std::mutex& mutex() {
  static std::mutex& mutex = *new std::mutex;
  return mutex;
}

std::map<uintptr_t, Mapped>& mappings() {
  static auto& mappings = *new std::map<uintptr_t, Mapped>;
  return mappings;
}

std::atomic<bool> any;

// Removes the parts of mappings in [start, end) and returns them. The rest of a mapping stays; the address of
// a rest behind `end` is adjusted.
std::vector<Mapped> cut(uintptr_t start, uintptr_t end) {
  std::lock_guard lock(mutex());
  std::vector<Mapped> gone;
  auto at = mappings().upper_bound(start);
  if (at != mappings().begin()) --at;
  while (at != mappings().end() && at->first < end) {
    const auto [begin, mapped] = *at;
    const uintptr_t from = std::max(start, begin), to = std::min(end, mapped.end);
    if (from >= to) {
      ++at;
      continue;
    }
    gone.push_back({to, mapped.address + (from - begin), mapped.session});
    if (to < mapped.end) mappings()[to] = {mapped.end, mapped.address + (to - begin), mapped.session};
    if (from > begin)
      at->second.end = from, ++at;
    else
      at = mappings().erase(at);
  }
  return gone;
}

void* failed(int error) {
  errno = error;
  return MAP_FAILED;
}

}  // namespace

void* map_buffer(const std::shared_ptr<Session>& session, void* address, size_t length, int protection, int flags,
                 off_t offset) {
  const bool shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
  if (!shared || !(protection & (PROT_READ | PROT_WRITE)) || length == 0) return failed(EINVAL);
  if (offset % static_cast<off_t>(kPageSize) != 0) return failed(EINVAL);
  Device& device = session->device();
  const auto cookie = static_cast<uint32_t>(offset);
  uint64_t place, bytes;
  const int result = device.driver().mmap(session->id(), cookie, protection & PROT_WRITE, &place, &bytes);
  if (result != 0) return failed(-result);
  const int error = whole_pages(length) > whole_pages(bytes)
                        ? EINVAL
                        : device.front_end().window().view(place, length, protection, flags, &address);
  if (error != 0) {
    device.driver().munmap(place);
    return failed(error);
  }
  any = true;
  const auto start = reinterpret_cast<uintptr_t>(address);
  std::lock_guard lock(mutex());
  mappings()[start] = {start + whole_pages(length), place, session};
  return address;
}

void release_mappings(void* address, size_t length) {
  if (!any || are_abandoned()) return;
  const auto start = reinterpret_cast<uintptr_t>(address);
  for (const Mapped& each : cut(start, start + whole_pages(length)))
    each.session->device().driver().munmap(each.address);
}

bool is_mapped(const Device& device, uint64_t offset, uint64_t length) {
  std::lock_guard lock(mutex());
  return std::ranges::any_of(mappings(), [&](const auto& each) {
    const auto& [start, mapped] = each;
    return &mapped.session->device() == &device && mapped.address < offset + length &&
           offset < mapped.address + (mapped.end - start);
  });
}

}  // namespace preload
