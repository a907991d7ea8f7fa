#include "jpeg.h"

#include <bit>
#include <string>

#include "pattern.h"

namespace usb_camera {

namespace {

enum Marker : uint8_t {
  kStart = 0xd8,
  kTables = 0xdb,
  kFrame = 0xc0,
  kHuffman = 0xc4,
  kScan = 0xda,
  kComment = 0xfe,
  kEnd = 0xd9
};

/** ITU-T T.81, B: a segment has a big-endian length, which counts its own two bytes. */
void AppendSegment(Bytes& bytes, Marker marker, const Bytes& body) {
  const size_t length = body.size() + 2;
  Append(bytes, Record(0xff, marker, length >> 8, length & 0xff, body));
}

/**
 * One table for all components: every coefficient is multiplied by 8, so DC is the mean of a block minus 128.
 */
const Bytes kQuantisation = [] {
  Bytes bytes(65, 8);
  bytes[0] = 0;
  return bytes;
}();

/**
 * Code lengths and values. DC: the codes of categories 0 to 8 have four bits and are the category's number.
 * AC: the code of "end of block" has one bit.
 */
const Bytes kDcCodes =
    Record(0x00, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8);
const Bytes kAcCodes = Record(0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00);
constexpr int kCategoryBits = 4;

/** Entropy-coded data. */
class BitWriter {
 public:
  explicit BitWriter(Bytes& bytes) : bytes_(bytes) {}

  void Write(uint32_t value, int count) {
    for (int bit = count - 1; bit >= 0; --bit) {
      byte_ = (byte_ << 1) | ((value >> bit) & 1);
      if (++filled_ == 8) Flush();
    }
  }
  /** Fills the last byte with 1 bits. */
  void Finish() {
    if (filled_ > 0) Write(0xff, 8 - filled_);
  }

 private:
  void Flush() {
    bytes_.push_back(static_cast<uint8_t>(byte_));
    if ((byte_ & 0xff) == 0xff) bytes_.push_back(0);
    byte_ = 0;
    filled_ = 0;
  }

  Bytes& bytes_;
  uint32_t byte_ = 0;
  int filled_ = 0;
};

/** A block of one value, coded as the difference from the component's previous block. */
void WriteBlock(BitWriter& bits, int difference) {
  const int category = std::bit_width(static_cast<uint32_t>(std::abs(difference)));
  bits.Write(static_cast<uint32_t>(category), kCategoryBits);
  bits.Write(static_cast<uint32_t>(difference < 0 ? difference - 1 : difference), category);
  bits.Write(0, 1);
}

/** Units of two neighbouring blocks of luminance and one block of each colour component. */
void WriteScan(Bytes& bytes, uint32_t frame, const Size& size) {
  BitWriter bits(bytes);
  const size_t columns = (size.width + 7) / 8, rows = (size.height + 7) / 8;
  int last = 0;
  for (size_t block = 0; block < columns * rows; ++block) {
    const int value = Noise(frame, block) - 128;
    WriteBlock(bits, value - last);
    last = value;
    if (block % 2 == 0) continue;
    WriteBlock(bits, 0);
    WriteBlock(bits, 0);
  }
  bits.Finish();
}

}  // namespace

Bytes JpegFrame(uint32_t frame, const Size& size) {
  static_assert([] {
    for (const Size& each : kMjpegSizes)
      if (each.width % 16 != 0) return false;
    return true;
  }());
  const std::string number = std::to_string(frame);
  const Bytes components = Record(3, 1, 0x21, 0, 2, 0x11, 0, 3, 0x11, 0);
  Bytes bytes = Record(0xff, kStart);
  AppendSegment(bytes, kComment, Bytes(number.begin(), number.end()));
  AppendSegment(bytes, kTables, kQuantisation);
  AppendSegment(
      bytes, kFrame,
      Record(8, size.height >> 8, size.height & 0xff, size.width >> 8, size.width & 0xff, components));
  AppendSegment(bytes, kHuffman, kDcCodes);
  AppendSegment(bytes, kHuffman, kAcCodes);
  AppendSegment(bytes, kScan, Record(3, 1, 0, 2, 0, 3, 0, 0, 63, 0));
  WriteScan(bytes, frame, size);
  Append(bytes, Record(0xff, kEnd));
  return bytes;
}

}  // namespace usb_camera
