#include "descriptors.h"

#include "controls.h"
#include "modes.h"
#include "uvc.h"

namespace usb_camera {

namespace {

/** Vendor and product of pid.codes: "test PID". */
constexpr uint16_t kVendor = 0x1209;
constexpr uint16_t kProduct = 0x0001;
enum String : uint8_t { kLanguages = 0, kManufacturer = 1, kProductName = 2, kSerial = 3 };
constexpr uint16_t kEnglish = 0x0409;
constexpr uint8_t kColorBt709 = 1, kMatrixBt601 = 4;
constexpr uint8_t kStatusPacket = 16;
/** Interval in microframes as 2^(n - 1): 4 ms. */
constexpr uint8_t kStatusInterval = 6;

/** Prepends bLength and bDescriptorType to the fields. */
template <typename... Fields>
Bytes Descriptor(uint8_t type, const Fields&... fields) {
  Bytes bytes = Record(0, type, fields...);
  bytes[0] = static_cast<uint8_t>(bytes.size());
  return bytes;
}

Word Length(size_t bytes) { return {static_cast<uint16_t>(bytes)}; }

Bytes Device() {
  return Descriptor(usb::kDevice, Word{0x0200}, usb::kMiscellaneous, 2, 1, 64, Word{kVendor}, Word{kProduct},
                    Word{0x0100}, kManufacturer, kProductName, kSerial, 1);
}

Bytes Interface(uint8_t number, uint8_t endpoints, uint8_t subclass) {
  return Descriptor(usb::kInterface, number, 0, endpoints, uvc::kVideo, subclass, 0, 0);
}

Bytes Endpoint(uint8_t number, uint8_t transfers, uint16_t packet, uint8_t interval) {
  return Descriptor(usb::kEndpoint, number | usb::kEndpointIn, transfers, Word{packet}, interval);
}

Bytes CameraTerminal() {
  const Bytes controls = ControlBits(kCamera, 3);
  return Descriptor(uvc::kClassInterface, uvc::kInputTerminal, kCamera, Word{uvc::kTerminalCamera}, 0, 0,
                    Word{0}, Word{0}, Word{0}, controls.size(), controls);
}

Bytes ProcessingUnit() {
  const Bytes controls = ControlBits(kProcessing, 2);
  return Descriptor(uvc::kClassInterface, uvc::kProcessingUnit, kProcessing, kCamera, Word{0},
                    controls.size(), controls, 0, 0);
}

Bytes ControlInterface() {
  const Bytes units = Record(CameraTerminal(), ProcessingUnit(),
                             Descriptor(uvc::kClassInterface, uvc::kOutputTerminal, kStreaming,
                                        Word{uvc::kTerminalStreaming}, 0, kProcessing, 0));
  constexpr size_t header = 13;
  return Record(Interface(kControlInterface, 1, uvc::kVideoControl),
                Descriptor(uvc::kClassInterface, uvc::kHeader, Word{uvc::kRelease},
                           Length(header + units.size()), Long{kClockFrequency}, 1, kStreamingInterface),
                units, Endpoint(kStatusEndpoint, usb::kInterrupt, kStatusPacket, kStatusInterval),
                Descriptor(uvc::kClassEndpoint, usb::kInterrupt, Word{kStatusPacket}));
}

Bytes FrameOf(uint8_t subtype, size_t index, const Size& size) {
  constexpr uint32_t kPerSecond = 10'000'000;
  const auto rate = [&](uint32_t interval) { return Long{size.bytes() * 8 * (kPerSecond / interval)}; };
  Bytes intervals;
  for (const uint32_t interval : kIntervals) Append(intervals, Long{interval});
  return Descriptor(uvc::kClassInterface, subtype, index, 0, Word{size.width}, Word{size.height},
                    rate(kIntervals.back()), rate(kIntervals.front()), Long{size.bytes()},
                    Long{kIntervals.front()}, kIntervals.size(), intervals);
}

Bytes FormatOf(size_t index, const Format& format) {
  static const Bytes yuy2 = {'Y', 'U', 'Y', '2', 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71};
  const bool plain = format.coding == Coding::kYuy2;
  Bytes bytes = plain ? Descriptor(uvc::kClassInterface, uvc::kFormatUncompressed, index, format.sizes.size(),
                                   yuy2, 16, 1, 0, 0, 0, 0)
                      : Descriptor(uvc::kClassInterface, uvc::kFormatMjpeg, index, format.sizes.size(), 0, 1,
                                   0, 0, 0, 0);
  for (size_t i = 0; i < format.sizes.size(); ++i)
    Append(bytes, FrameOf(plain ? uvc::kFrameUncompressed : uvc::kFrameMjpeg, i + 1, format.sizes[i]));
  Append(bytes, Descriptor(uvc::kClassInterface, uvc::kColorFormat, kColorBt709, kColorBt709, kMatrixBt601));
  return bytes;
}

Bytes StreamingInterface() {
  Bytes formats;
  for (size_t i = 0; i < std::size(kFormats); ++i) Append(formats, FormatOf(i + 1, kFormats[i]));
  const Bytes controls(std::size(kFormats), 0);
  const size_t header = 13 + controls.size();
  return Record(Interface(kStreamingInterface, 1, uvc::kVideoStreaming),
                Descriptor(uvc::kClassInterface, uvc::kInputHeader, std::size(kFormats),
                           Length(header + formats.size()), kVideoEndpoint | usb::kEndpointIn, 0, kStreaming,
                           0, 0, 0, 1, controls),
                formats, Endpoint(kVideoEndpoint, usb::kBulk, kPacket, 0));
}

Bytes Configuration() {
  const Bytes rest = Record(Descriptor(usb::kInterfaceAssociation, kControlInterface, 2, uvc::kVideo,
                                       uvc::kCollection, 0, kProductName),
                            ControlInterface(), StreamingInterface());
  constexpr size_t header = 9;
  return Record(Descriptor(usb::kConfiguration, Length(header + rest.size()), 2, 1, 0, 0x80, 50), rest);
}

Bytes Text(std::string_view text) {
  Bytes letters;
  for (const char letter : text) Append(letters, Word{static_cast<uint8_t>(letter)});
  return Descriptor(usb::kString, letters);
}

}  // namespace

std::optional<Bytes> FindDescriptor(uint8_t type, uint8_t index, const Strings& strings) {
  if (type == usb::kDevice) return Device();
  if (type == usb::kConfiguration) return Configuration();
  if (type != usb::kString) return {};
  switch (index) {
    case kLanguages:
      return Descriptor(usb::kString, Word{kEnglish});
    case kManufacturer:
      return Text("virtio-media-bridge");
    case kProductName:
      return Text(strings.product);
    case kSerial:
      return Text(strings.serial);
    default:
      return {};
  }
}

}  // namespace usb_camera
