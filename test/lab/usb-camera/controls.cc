#include "controls.h"

#include <algorithm>

namespace usb_camera {

namespace {

constexpr Control kControls[] = {
    // name, entity, selector, bit, size, minimum, maximum, resolution, default, asynchronous
    {"brightness", kProcessing, 0x02, 0, 2, -64, 64, 1, 0, false},
    {"contrast", kProcessing, 0x03, 1, 2, 0, 100, 1, 50, false},
    {"hue", kProcessing, 0x06, 2, 2, -180, 180, 10, 0, false},
    {"saturation", kProcessing, 0x07, 3, 2, 0, 100, 1, 60, false},
    {"sharpness", kProcessing, 0x08, 4, 2, 0, 7, 1, 2, false},
    {"white-balance", kProcessing, 0x0a, 6, 2, 2800, 6500, 10, 4600, true},
    {"gain", kProcessing, 0x04, 9, 2, 0, 255, 1, 16, true},
    {"power-line", kProcessing, 0x05, 10, 1, 0, 2, 1, 1, false},
    {"white-balance-auto", kProcessing, 0x0b, 12, 1, 0, 1, 1, 1, false},
    {"exposure-mode", kCamera, 0x02, 1, 1, 1, 8, 0x09, 8, false},
    {"exposure", kCamera, 0x04, 3, 4, 1, 10'000, 1, 166, true},
    {"zoom", kCamera, 0x0b, 9, 2, 100, 400, 1, 100, true},
};

const Control* Find(auto matches) {
  const Control* found = std::ranges::find_if(kControls, matches);
  return found == std::end(kControls) ? nullptr : found;
}

Bytes Sized(int32_t value, size_t size) {
  Bytes bytes;
  Append(bytes, static_cast<uint32_t>(value), size);
  return bytes;
}

/** A status packet. */
Bytes Changed(const Control& control, int32_t value) {
  return Record(uvc::kFromVideoControl, control.entity, uvc::kControlChange, control.selector,
                uvc::kValueChange, Sized(value, control.size));
}

int32_t Signed(std::span<const uint8_t> data, size_t size) {
  const uint32_t value = Number(data.first(size));
  return size == 2 ? static_cast<int16_t>(value) : static_cast<int32_t>(value);
}

}  // namespace

Bytes ControlBits(Entity entity, size_t bytes) {
  uint32_t bits = 0;
  for (const Control& control : kControls)
    if (control.entity == entity) bits |= 1u << control.bit;
  return Sized(static_cast<int32_t>(bits), bytes);
}

Controls::Controls(StatusPipe& status) : status_(status) {
  for (const Control& control : kControls) values_.push_back(control.standard);
}

std::optional<Bytes> Controls::Handle(uint8_t entity, uint8_t selector, uint8_t request,
                                      std::span<const uint8_t> data) {
  if (entity == kItself && selector == uvc::kRequestErrorCode && request == uvc::kGetCur)
    return Bytes{last_error_};
  const Control* control =
      Find([&](const Control& each) { return each.entity == entity && each.selector == selector; });
  if (control == nullptr) return Refuse(uvc::kInvalidControl);
  const size_t index = static_cast<size_t>(control - kControls);
  last_error_ = uvc::kNoError;
  switch (request) {
    case uvc::kSetCur:
      return Set(index, data);
    case uvc::kGetCur:
      return Sized(values_[index], control->size);
    case uvc::kGetMin:
      return Sized(control->minimum, control->size);
    case uvc::kGetMax:
      return Sized(control->maximum, control->size);
    case uvc::kGetRes:
      return Sized(control->resolution, control->size);
    case uvc::kGetDef:
      return Sized(control->standard, control->size);
    case uvc::kGetLen:
      return Sized(control->size, 2);
    case uvc::kGetInfo:
      return Record(uvc::kGet | uvc::kSet | (control->asynchronous ? uvc::kAsynchronous : 0));
    default:
      return Refuse(uvc::kInvalidRequest);
  }
}

bool Controls::Turn(std::string_view name, int32_t value) {
  const Control* control = Find([&](const Control& each) { return each.name == name && each.asynchronous; });
  if (control == nullptr) return false;
  values_[static_cast<size_t>(control - kControls)] = value;
  status_.Say(Changed(*control, value));
  return true;
}

std::optional<Bytes> Controls::Set(size_t index, std::span<const uint8_t> data) {
  const Control& control = kControls[index];
  if (data.size() < control.size) return Refuse(uvc::kInvalidRequest);
  const int32_t value = Signed(data, control.size);
  if (value < control.minimum || value > control.maximum) return Refuse(uvc::kOutOfRange);
  values_[index] = value;
  if (control.asynchronous) status_.Say(Changed(control, value));
  return Bytes();
}

std::optional<Bytes> Controls::Refuse(uvc::ErrorCode code) {
  last_error_ = code;
  return {};
}

}  // namespace usb_camera
