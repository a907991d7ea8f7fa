#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace vmb {

/** Memory mapped from a descriptor, shared, readable and writable; unmapped when nobody holds it any more. */
class Mapping {
 public:
  enum class Source { kMemory, kNode };

  /**
   * `size` bytes at `offset`, which need not be page-aligned for kMemory. Null: errno says why. EINVAL also
   * for a regular file that is shorter: touching what lies behind its end would be a SIGBUS.
   */
  static std::shared_ptr<Mapping> Map(int fd, uint64_t offset, uint64_t size, Source source);

  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  bool Contains(uint64_t offset, uint64_t length) const {
    return offset <= size_ && length <= size_ - offset;
  }

 private:
  Mapping(void* base, size_t length, uint64_t skip, uint64_t size, Source source)
      : base_(base),
        length_(length),
        data_(static_cast<uint8_t*>(base) + skip),
        size_(size),
        source_(source) {}

  void* base_;
  size_t length_;
  uint8_t* data_;
  uint64_t size_;
  Source source_;
};

}  // namespace vmb
