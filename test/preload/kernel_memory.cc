#include "kernel_memory.h"

#include <cstring>
#include <sys/mman.h>

namespace preload {
namespace {

constexpr size_t kAlignment = 8;

}  // namespace

KernelMemory::KernelMemory(GuestRam& ram, size_t pages) : ram_(ram), size_(pages * kPage) {
  void* place = real::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return;
  auto* base = static_cast<uint8_t*>(place);
  for (size_t i = 0; i < pages; i++) {
    const auto [page, count] = ram_.take_scattered(1);
    if (count == 0 || real::mmap(base + i * kPage, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, ram_.fd(),
                                 page * kPage) == MAP_FAILED)
      return;
    pages_.push_back(page);
  }
  base_ = base;
}

KernelMemory::~KernelMemory() {
  if (base_) real::munmap(base_, size_);
  for (const size_t page : pages_) ram_.give({page, 1});
}

void KernelMemory::reset() {
  cursor_ = 0;
  round_++;
}

uint8_t* KernelMemory::take(size_t bytes) {
  const size_t units = bytes / kAlignment;
  if (round_ % 2 == 1 && units > 1 && bytes < kPage) {
    const size_t before = kAlignment * (1 + round_ / 2 % (units - 1));
    const size_t border = (cursor_ + before + kPage - 1) / kPage * kPage;
    cursor_ = border - before;
  }
  if (cursor_ + bytes > size_) return nullptr;
  uint8_t* data = base_ + cursor_;
  cursor_ = (cursor_ + bytes + kAlignment - 1) / kAlignment * kAlignment;
  memset(data, 0, bytes);
  return data;
}

void KernelMemory::pieces(const uint8_t* data, size_t bytes, bool writable, std::vector<Piece>& out) const {
  while (bytes > 0) {
    const size_t within = static_cast<size_t>(data - base_) % kPage;
    const size_t length = std::min(bytes, kPage - within);
    out.push_back({address(data), static_cast<uint32_t>(length), writable});
    data += length;
    bytes -= length;
  }
}

uint64_t KernelMemory::address(const uint8_t* data) const {
  const auto offset = static_cast<size_t>(data - base_);
  return ram_.address(pages_[offset / kPage] * kPage) + offset % kPage;
}

}  // namespace preload
