/**
 * Numbers of the USB video device class, release 1.1, and of USB itself. Tables and names are those of the
 * specifications.
 */
#pragma once

#include <cstdint>

namespace usb_camera {

namespace usb {
enum Descriptor : uint8_t {
  kDevice = 1,
  kConfiguration = 2,
  kString = 3,
  kInterface = 4,
  kEndpoint = 5,
  kInterfaceAssociation = 11,
};
enum Request : uint8_t {
  kGetStatus = 0,
  kClearFeature = 1,
  kSetAddress = 5,
  kGetDescriptor = 6,
  kSetConfiguration = 9,
  kSetInterface = 11,
};
/** bmRequestType */
constexpr uint8_t kTypeMask = 0x60;
constexpr uint8_t kClassType = 0x20;
constexpr uint8_t kRecipientMask = 0x1f;
constexpr uint8_t kToEndpoint = 2;
constexpr uint8_t kEndpointIn = 0x80;
enum Transfers : uint8_t { kBulk = 2, kInterrupt = 3 };
constexpr uint8_t kMiscellaneous = 0xef;
}  // namespace usb

namespace uvc {
constexpr uint16_t kRelease = 0x0110;
constexpr uint8_t kVideo = 0x0e;
enum Subclass : uint8_t { kVideoControl = 1, kVideoStreaming = 2, kCollection = 3 };
enum Descriptor : uint8_t { kClassInterface = 0x24, kClassEndpoint = 0x25 };
enum ControlDescriptor : uint8_t {
  kHeader = 1,
  kInputTerminal = 2,
  kOutputTerminal = 3,
  kProcessingUnit = 5
};
enum StreamingDescriptor : uint8_t {
  kInputHeader = 1,
  kFormatUncompressed = 4,
  kFrameUncompressed = 5,
  kFormatMjpeg = 6,
  kFrameMjpeg = 7,
  kColorFormat = 13,
};
constexpr uint16_t kTerminalStreaming = 0x0101;
constexpr uint16_t kTerminalCamera = 0x0201;

enum Request : uint8_t {
  kSetCur = 0x01,
  kGetCur = 0x81,
  kGetMin = 0x82,
  kGetMax = 0x83,
  kGetRes = 0x84,
  kGetLen = 0x85,
  kGetInfo = 0x86,
  kGetDef = 0x87,
};
/** Bits of the answer to GET_INFO. */
enum Info : uint8_t { kGet = 1, kSet = 2, kAsynchronous = 16 };

enum StreamingControl : uint8_t { kProbe = 1, kCommit = 2 };
constexpr uint8_t kRequestErrorCode = 2;
/** Values of kRequestErrorCode. */
enum ErrorCode : uint8_t { kNoError = 0, kOutOfRange = 4, kInvalidControl = 6, kInvalidRequest = 7 };

/** Bits of a payload's header. */
enum PayloadHeader : uint8_t {
  kFrameId = 0x01,
  kEndOfFrame = 0x02,
  kPresentationTime = 0x04,
  kSourceClock = 0x08,
  kError = 0x40,
  kEndOfHeader = 0x80,
};
/** A status packet of the interrupt endpoint: a control of the video control interface has changed. */
constexpr uint8_t kFromVideoControl = 1;
constexpr uint8_t kControlChange = 0;
constexpr uint8_t kValueChange = 0;
}  // namespace uvc

/** The structure of this camera. */
enum Interface : uint8_t { kControlInterface = 0, kStreamingInterface = 1 };
enum Entity : uint8_t { kItself = 0, kCamera = 1, kProcessing = 2, kStreaming = 3 };
enum Endpoint : uint8_t { kControlEndpoint = 0, kVideoEndpoint = 1, kStatusEndpoint = 2 };
constexpr uint32_t kClockFrequency = 48'000'000;
/** Bytes. A payload is one URB: uvcvideo's largest URB is 32 packets of the endpoint's 512 bytes. */
constexpr uint16_t kPacket = 512;
constexpr uint32_t kPayload = 32 * kPacket;

}  // namespace usb_camera
