/** Records and numbers of the ioctls that enumerate what a node can do. */
import { struct, u32 } from '../struct.js';

/** V4L2_FMT_FLAG_*. */
export const FormatFlag = { COMPRESSED: 0x1, EMULATED: 0x2 } as const;

/** enum v4l2_frmsizetypes and v4l2_frmivaltypes: the same numbers. */
export const Steps = { DISCRETE: 1, CONTINUOUS: 2, STEPWISE: 3 } as const;

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
