/** Records and numbers of the ioctls that enumerate what a node can do. */
import { i32, struct, text, u32 } from '../struct.js';

/** V4L2_FMT_FLAG_*. */
export const FormatFlag = { COMPRESSED: 0x1, EMULATED: 0x2 } as const;

/** enum v4l2_frmsizetypes and v4l2_frmivaltypes: the same numbers. */
export const Steps = { DISCRETE: 1, CONTINUOUS: 2, STEPWISE: 3 } as const;

/** Types of enum v4l2_ctrl_type that the product shows in a special way. */
export const ControlType = {
  MENU: 3,
  BUTTON: 4,
  INTEGER64: 5,
  CLASS: 6,
  STRING: 7,
  BITMASK: 8,
  INTEGER_MENU: 9,
} as const;

/** `size` of v4l2_frmsizeenum for the type DISCRETE, in pixels. */
export const frmsizeDiscrete = struct({ width: u32, height: u32 });
/** `size` of v4l2_frmsizeenum for the types CONTINUOUS and STEPWISE, in pixels. */
export const frmsizeStepwise = struct({
  minWidth: u32,
  maxWidth: u32,
  stepWidth: u32,
  minHeight: u32,
  maxHeight: u32,
  stepHeight: u32,
});

/** A time in seconds. `interval` of v4l2_frmivalenum has one (discrete), or minimum, maximum and step. */
export const fract = struct({ numerator: u32, denominator: u32 });

/** struct v4l2_control. */
export const control = struct({ id: u32, value: i32 });

/**
 * struct v4l2_querymenu. `name` is for a menu; for an integer menu its first eight bytes are a signed 64-bit number.
 */
export const querymenu = struct({ id: u32, index: u32, name: text(32), reserved: u32 });
