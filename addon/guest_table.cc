#include "guest_table.h"

#include <algorithm>
#include <cstring>

namespace vmb {

std::span<uint8_t> GuestTable::At(uint64_t address, uint64_t length) const {
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                      [](uint64_t at, const Region& region) { return at < region.address; });
  if (after == regions_.begin()) return {};
  const Region& region = *std::prev(after);
  const uint64_t offset = address - region.address;
  if (offset >= region.mapping->size()) return {};
  return {region.mapping->data() + offset, std::min(length, region.mapping->size() - offset)};
}

bool GuestTable::Contains(uint64_t address, uint64_t length) const {
  for (uint64_t done = 0; done < length;) {
    // Past the last address, the sum would start again at 0.
    if (address + done < address) return false;
    const auto piece = At(address + done, length - done);
    if (piece.empty()) return false;
    done += piece.size();
  }
  return true;
}

bool GuestTable::CopyOut(uint64_t address, std::span<uint8_t> into) const {
  if (!Contains(address, into.size())) return false;
  for (uint64_t done = 0; done < into.size();) {
    const auto piece = At(address + done, into.size() - done);
    std::memcpy(into.data() + done, piece.data(), piece.size());
    done += piece.size();
  }
  return true;
}

bool GuestTable::CopyIn(uint64_t address, std::span<const uint8_t> from) const {
  if (!Contains(address, from.size())) return false;
  for (uint64_t done = 0; done < from.size();) {
    const auto piece = At(address + done, from.size() - done);
    std::memcpy(piece.data(), from.data() + done, piece.size());
    done += piece.size();
  }
  return true;
}

std::shared_ptr<Mapping> GuestTable::HolderOf(std::span<const uint8_t> bytes) const {
  for (const Region& region : regions_) {
    const Mapping& mapping = *region.mapping;
    if (bytes.data() >= mapping.data() && mapping.Contains(bytes.data() - mapping.data(), bytes.size()))
      return region.mapping;
  }
  return nullptr;
}

}  // namespace vmb
