// The driver's side of a split virtqueue (VIRTIO 1.4, 2.7).
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "guest_ram.h"
#include "unique_fd.h"

namespace preload {

class Virtqueue {
 public:
  // A ring of `size` entries in pages of its own. `features`: the negotiated ring features.
  Virtqueue(GuestRam& ram, unsigned index, unsigned size, uint64_t features);
  bool usable() const { return rings_.count > 0 && kick_ && call_ && error_; }

  // Makes a chain available. Returns its head, or -ENOSPC. A chain of several pieces goes into an indirect
  // table if that was negotiated.
  int add(std::span<const Piece> pieces);
  // Kicks the device, unless the device has suppressed kicks.
  void kick();
  // The next chain that the device has given back: its head, and the number of bytes that the device reports
  // as written.
  std::optional<wire::UsedElement> take();

  unsigned index() const { return index_; }
  unsigned size() const { return size_; }
  int kick_fd() const { return kick_.get(); }
  int call_fd() const { return call_.get(); }
  int error_fd() const { return error_.get(); }
  void kick_always() const;
  // Resets the call descriptor.
  void acknowledge() const;
  // Addresses of the rings, as front-end user addresses.
  wire::VringAddress address() const;

 private:
  int add_indirect(std::span<const Piece> pieces);
  int add_direct(std::span<const Piece> pieces);
  void publish(uint16_t head);
  uint16_t* available_index() const { return available_ + 1; }
  uint16_t* used_event() const { return available_ + 2 + size_; }
  volatile uint16_t* used_index() const;
  volatile uint16_t* available_event() const;

  GuestRam& ram_;
  const unsigned index_, size_;
  const uint64_t features_;
  GuestRam::Run rings_;
  UniqueFd kick_, call_, error_;
  wire::Descriptor* descriptors_ = nullptr;
  uint16_t* available_ = nullptr;
  uint8_t* used_ = nullptr;
  std::vector<uint16_t> free_;
  // Pages of the indirect tables, by head; 0: none.
  std::vector<size_t> tables_;
  uint16_t next_ = 0, kicked_ = 0, seen_ = 0;
};

}  // namespace preload
