/**
 * The class of a control, from its id (V4L2_CTRL_ID2WHICH, V4L2_CTRL_DRIVER_PRIV). test/addon compares the classes
 * with the kernel's header.
 */

/** V4L2_CTRL_CLASS_*. The names are in lower case, with hyphens. */
export const controlClasses = {
  user: 0x00980000,
  codec: 0x00990000,
  camera: 0x009a0000,
  'fm-tx': 0x009b0000,
  flash: 0x009c0000,
  jpeg: 0x009d0000,
  'image-source': 0x009e0000,
  'image-proc': 0x009f0000,
  dv: 0x00a00000,
  'fm-rx': 0x00a10000,
  'rf-tuner': 0x00a20000,
  detect: 0x00a30000,
  'codec-stateless': 0x00a40000,
  colorimetry: 0x00a50000,
} as const;

/** The bits of an id that give its class. */
export const CLASS_MASK = 0x0fff0000;
/** An id that has a class is private to the driver if one of these bits is set. */
export const DRIVER_PRIVATE_MASK = 0xf000;
/**
 * V4L2_CID_PRIVATE_BASE. Ids from here on are aliases: they stand for the first, the second, … plain control that is
 * private to the driver in the class `user`.
 */
export const PRIVATE_BASE = 0x08000000;
