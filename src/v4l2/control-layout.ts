/**
 * Numbers and records of controls, from <linux/videodev2.h>, in their 64-bit little-endian form. test/addon compares
 * every record with the compiler's values.
 */
import { bytes, i32, struct, text, u32, u64 } from '../struct.js';

/** Types of enum v4l2_ctrl_type that the product shows in a special way. */
export const ControlType = {
  MENU: 3,
  BUTTON: 4,
  INTEGER64: 5,
  CLASS: 6,
  STRING: 7,
  BITMASK: 8,
  INTEGER_MENU: 9,
  RECT: 0x0107,
} as const;

/** Special values of v4l2_ext_controls.which. */
export const Which = { CURRENT: 0, DEFAULT: 0x0f000000, REQUEST: 0x0f010000 } as const;
/** V4L2_CTRL_FLAG_*. */
export const ControlFlag = {
  DISABLED: 0x0001,
  READ_ONLY: 0x0004,
  INACTIVE: 0x0010,
  WRITE_ONLY: 0x0040,
  VOLATILE: 0x0080,
  HAS_PAYLOAD: 0x0100,
  NEXT_CTRL: 0x80000000,
  NEXT_COMPOUND: 0x40000000,
} as const;
/** V4L2_CTRL_ID_MASK: an id without its flags. */
export const CONTROL_ID_MASK = 0x0fffffff;
/** V4L2_CID_MAX_CTRLS. */
export const MAX_CONTROLS = 1024;

/** struct v4l2_control. */
export const control = struct({ id: u32, value: i32 });

/**
 * struct v4l2_querymenu. `name` is for a menu; for an integer menu its first eight bytes are a signed 64-bit number.
 */
export const querymenu = struct({ id: u32, index: u32, name: text(32), reserved: u32 });

/** struct v4l2_rect: the payload of a control of type RECT. In pixels. */
export const rect = struct({ left: i32, top: i32, width: u32, height: u32 });

/** struct v4l2_ext_controls. `controls` is a pointer to `count` records `extControl`. */
export const extControls = struct({
  which: u32,
  count: u32,
  errorIdx: u32,
  requestFd: i32,
  reserved: u32,
  pad20: u32,
  controls: bytes(8),
});
/** struct v4l2_ext_control. Packed: the 64-bit union is at byte 12, and the stride of an array is 20 bytes. */
export const extControl = struct({ id: u32, size: u32, reserved2: u32, value: bytes(8) });

/** struct v4l2_query_ext_ctrl. */
export const queryExtCtrl = struct({
  id: u32,
  type: u32,
  name: text(32),
  minimum: u64,
  maximum: u64,
  step: u64,
  defaultValue: u64,
  flags: u32,
  elemSize: u32,
  elems: u32,
  nrOfDims: u32,
  dims: bytes(16),
  reserved: bytes(128),
});
