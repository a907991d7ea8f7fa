/** Controls of the camera terminal and of the processing unit. */
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "little_endian.h"
#include "status_pipe.h"
#include "uvc.h"

namespace usb_camera {

struct Control {
  std::string_view name;
  Entity entity;
  /** CT_*_CONTROL or PU_*_CONTROL. */
  uint8_t selector;
  /** Bit number in bmControls. */
  uint8_t bit;
  /** Bytes. */
  uint8_t size;
  int32_t minimum, maximum;
  /** For CT_AE_MODE, whose values are bits: the bits that are supported. */
  int32_t resolution;
  int32_t standard;
  /** The camera can change the control by itself, and reports every change when it is done. */
  bool asynchronous;
};

/** bmControls of a terminal or unit, `bytes` long. */
Bytes ControlBits(Entity entity, size_t bytes);

class Controls {
 public:
  explicit Controls(StatusPipe& status);

  /** Answers a class request for a terminal or unit, or for the interface itself. No value: a stall. */
  std::optional<Bytes> Handle(uint8_t entity, uint8_t selector, uint8_t request,
                              std::span<const uint8_t> data);
  /** Changes the value as a knob on the camera would. False: the camera has no such control. */
  bool Turn(std::string_view name, int32_t value);

 private:
  std::optional<Bytes> Refuse(uvc::ErrorCode code);
  std::optional<Bytes> Set(size_t control, std::span<const uint8_t> data);

  StatusPipe& status_;
  /** Values in the order of the table. */
  std::vector<int32_t> values_;
  uvc::ErrorCode last_error_ = uvc::kNoError;
};

}  // namespace usb_camera
