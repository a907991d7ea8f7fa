#include "virtqueue.h"

#include <atomic>
#include <cerrno>
#include <sys/eventfd.h>

namespace preload {
namespace {

void barrier() { std::atomic_thread_fence(std::memory_order_seq_cst); }

constexpr size_t round_up(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

}  // namespace

Virtqueue::Virtqueue(GuestRam& ram, unsigned index, unsigned size, uint64_t features)
    : ram_(ram),
      index_(index),
      size_(size),
      features_(features),
      kick_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      call_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      error_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      tables_(size) {
  const size_t descriptors = sizeof(wire::Descriptor) * size;
  const size_t used = round_up(descriptors + 2 * (3 + size), kPage);
  rings_ = ram_.take_contiguous(round_up(used + 6 + sizeof(wire::UsedElement) * size, kPage) / kPage);
  if (rings_.count == 0) return;
  uint8_t* base = ram_.at(rings_.page);
  descriptors_ = reinterpret_cast<wire::Descriptor*>(base);
  available_ = reinterpret_cast<uint16_t*>(base + descriptors);
  used_ = base + used;
  for (unsigned id = size; id-- > 0;) free_.push_back(static_cast<uint16_t>(id));
}

wire::VringAddress Virtqueue::address() const {
  const auto user = [](const void* place) { return reinterpret_cast<uint64_t>(place); };
  return {index_, 0, user(descriptors_), user(used_), user(available_), 0};
}

int Virtqueue::add(std::span<const Piece> pieces) {
  const bool indirect = pieces.size() > 1 && (features_ & wire::kIndirect) && !free_.empty();
  const int head = indirect ? add_indirect(pieces) : add_direct(pieces);
  if (head >= 0) publish(static_cast<uint16_t>(head));
  return head;
}

int Virtqueue::add_indirect(std::span<const Piece> pieces) {
  const size_t bytes = sizeof(wire::Descriptor) * pieces.size();
  if (bytes > kPage) return -ENOSPC;
  const auto [page, count] = ram_.take_scattered(1);
  if (count == 0) return -ENOSPC;
  auto* table = reinterpret_cast<wire::Descriptor*>(ram_.at(page));
  for (size_t i = 0; i < pieces.size(); i++) {
    const uint16_t next = i + 1 < pieces.size() ? wire::kNext : 0;
    const uint16_t write = pieces[i].writable ? wire::kWrite : 0;
    table[i] = {pieces[i].address, pieces[i].length, static_cast<uint16_t>(next | write), static_cast<uint16_t>(i + 1)};
  }
  const uint16_t head = free_.back();
  free_.pop_back();
  tables_[head] = page;
  descriptors_[head] = {ram_.address(page * kPage), static_cast<uint32_t>(bytes), wire::kIndirectTable, 0};
  return head;
}

int Virtqueue::add_direct(std::span<const Piece> pieces) {
  if (pieces.size() > free_.size()) return -ENOSPC;
  const size_t top = free_.size() - 1;
  for (size_t i = 0; i < pieces.size(); i++) {
    const bool last = i + 1 == pieces.size();
    const uint16_t flags = (last ? 0 : wire::kNext) | (pieces[i].writable ? wire::kWrite : 0);
    descriptors_[free_[top - i]] = {pieces[i].address, pieces[i].length, flags,
                                    last ? uint16_t{0} : free_[top - i - 1]};
  }
  const uint16_t head = free_[top];
  free_.resize(free_.size() - pieces.size());
  return head;
}

void Virtqueue::publish(uint16_t head) {
  available_[2 + next_ % size_] = head;
  barrier();
  *static_cast<volatile uint16_t*>(available_index()) = ++next_;
}

void Virtqueue::kick() {
  barrier();
  const uint16_t old = std::exchange(kicked_, next_);
  // VIRTIO 1.4, 2.7.10
  const bool wanted = features_ & wire::kEventIdx
                          ? static_cast<uint16_t>(next_ - *available_event() - 1) < static_cast<uint16_t>(next_ - old)
                          : (*reinterpret_cast<volatile uint16_t*>(used_) & 1) == 0;
  if (wanted) kick_always();
}

void Virtqueue::kick_always() const {
  const uint64_t one = 1;
  (void)!real::write(kick_.get(), &one, sizeof one);
}

void Virtqueue::acknowledge() const {
  uint64_t count;
  (void)!real::read(call_.get(), &count, sizeof count);
}

std::optional<wire::UsedElement> Virtqueue::take() {
  // Request a call for the next used buffer first, because it may arrive between the look and the wait.
  *static_cast<volatile uint16_t*>(used_event()) = seen_;
  barrier();
  if (*used_index() == seen_) return std::nullopt;
  barrier();
  const auto element = reinterpret_cast<wire::UsedElement*>(used_ + 4)[seen_++ % size_];
  const auto head = static_cast<uint16_t>(element.id);
  if (head >= size_) return element;
  if (tables_[head]) {
    ram_.give({std::exchange(tables_[head], 0), 1});
    free_.push_back(head);
    return element;
  }
  for (uint16_t id = head;;) {
    const wire::Descriptor descriptor = descriptors_[id];
    free_.push_back(id);
    if (!(descriptor.flags & wire::kNext)) break;
    id = descriptor.next;
  }
  return element;
}

volatile uint16_t* Virtqueue::used_index() const { return reinterpret_cast<volatile uint16_t*>(used_ + 2); }

volatile uint16_t* Virtqueue::available_event() const {
  return reinterpret_cast<volatile uint16_t*>(used_ + 4 + sizeof(wire::UsedElement) * size_);
}

}  // namespace preload
