#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vmb {

/** Shared memory that is mapped readable and writable. It is unmapped with its last reference. */
class Mapping {
 public:
  enum class Source { kMemory, kNode, kPieces };

  /** `length` bytes at `offset` of a mapping. */
  struct Piece {
    std::shared_ptr<Mapping> of;
    uint64_t offset;
    uint64_t length;
  };

  /**
   * Maps `size` bytes at `offset`, which need not be page-aligned for kMemory. Null: errno says why. It is
   * EINVAL also if a regular file is shorter. For a file that is truncated later see cut_memory.h.
   */
  static std::shared_ptr<Mapping> Map(int fd, uint64_t offset, uint64_t size, Source source);

  /**
   * Maps the same pages once more, one piece after the other. Null: errno says why. EINVAL: a piece is empty,
   * lies outside its mapping or is not of kMemory; a piece other than the first does not start on a page
   * boundary; a piece other than the last does not end on one; or a piece lies in huge pages, which the
   * kernel does not map a second time in this way.
   */
  static std::shared_ptr<Mapping> Join(std::span<const Piece> pieces);

  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  Source source() const { return source_; }
  bool Contains(uint64_t offset, uint64_t length) const {
    return offset <= size_ && length <= size_ - offset;
  }

 private:
  Mapping(void* base, size_t length, uint64_t skip, uint64_t size, Source source, bool slow = false)
      : base_(base),
        length_(length),
        data_(static_cast<uint8_t*>(base) + skip),
        size_(size),
        source_(source),
        slow_(slow) {}

  void* base_;
  size_t length_;
  uint8_t* data_;
  uint64_t size_;
  Source source_;
  /** It is many mappings to the kernel, so another thread unmaps it than the one that drops the last
   * reference. */
  bool slow_;
};

}  // namespace vmb
