#pragma once

#include <cstdint>

namespace vmb {

/** An ioctl of the allow-list whose payload has no pointer and no descriptor, and which any thread may run. */
struct FlatRequest {
  /** 0: the number is none. */
  unsigned long code = 0;
  /** Offset of a buffer type that must not be an overlay. -1: the payload has none. */
  int buffer_type_at = -1;
};

FlatRequest FlatRequestOf(uint32_t number);
/** G/S/TRY_EXT_CTRLS by number. 0: another ioctl. */
unsigned long ControlsRequest(uint32_t number);
/** Formats of overlays have pointers. */
bool IsOverlay(uint32_t buffer_type);

}  // namespace vmb
