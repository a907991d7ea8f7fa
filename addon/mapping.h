#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vmb {

/** Shared memory, mapped readable and writable; unmapped when nobody holds it any more. */
class Mapping {
 public:
  enum class Source { kMemory, kNode, kPieces };

  /** Bytes of a mapping. */
  struct Piece {
    std::shared_ptr<Mapping> of;
    uint64_t offset;
    uint64_t length;
  };

  /**
   * `size` bytes at `offset`, which need not be page-aligned for kMemory. Null: errno says why. EINVAL also
   * for a regular file that is shorter. One that is cut off later: cut_memory.h.
   */
  static std::shared_ptr<Mapping> Map(int fd, uint64_t offset, uint64_t size, Source source);

  /**
   * The same pages once more, one piece after the other. Null: errno says why. EINVAL: a piece is empty, out
   * of its mapping or not in kMemory; does not start (the first may) or end (the last may) on a page
   * boundary; or lies in huge pages, which the kernel does not map twice so.
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
  /** Many mappings to the kernel: never unmapped on the thread that lets go of it. */
  bool slow_;
};

}  // namespace vmb
