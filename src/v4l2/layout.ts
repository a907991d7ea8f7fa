/**
 * The V4L2 structures of <linux/videodev2.h> that the product reads or changes, in their 64-bit little-endian form,
 * and their constants. test/addon compares every line with the compiler's values.
 */
import { bytes, i32, struct, text, u8, u32 } from '../struct.js';

export const VIDEO_MAX_PLANES = 8;

/** enum v4l2_buf_type. */
export const BufferType = {
  VIDEO_CAPTURE: 1,
  VIDEO_OUTPUT: 2,
  VIDEO_OVERLAY: 3,
  VBI_CAPTURE: 4,
  VBI_OUTPUT: 5,
  SLICED_VBI_CAPTURE: 6,
  SLICED_VBI_OUTPUT: 7,
  VIDEO_OUTPUT_OVERLAY: 8,
  VIDEO_CAPTURE_MPLANE: 9,
  VIDEO_OUTPUT_MPLANE: 10,
  SDR_CAPTURE: 11,
  SDR_OUTPUT: 12,
  META_CAPTURE: 13,
  META_OUTPUT: 14,
} as const;

/** enum v4l2_memory. VIRTIO calls USERPTR "SHARED_PAGES" and DMABUF "VIRTIO_OBJECT". */
export const Memory = { MMAP: 1, USERPTR: 2, OVERLAY: 3, DMABUF: 4 } as const;

/** V4L2_CAP_*. */
export const Capability = {
  VIDEO_CAPTURE: 0x00000001,
  VIDEO_OUTPUT: 0x00000002,
  VIDEO_OVERLAY: 0x00000004,
  VBI_CAPTURE: 0x00000010,
  VBI_OUTPUT: 0x00000020,
  SLICED_VBI_CAPTURE: 0x00000040,
  SLICED_VBI_OUTPUT: 0x00000080,
  RDS_CAPTURE: 0x00000100,
  VIDEO_OUTPUT_OVERLAY: 0x00000200,
  VIDEO_CAPTURE_MPLANE: 0x00001000,
  VIDEO_OUTPUT_MPLANE: 0x00002000,
  VIDEO_M2M_MPLANE: 0x00004000,
  VIDEO_M2M: 0x00008000,
  TUNER: 0x00010000,
  AUDIO: 0x00020000,
  RADIO: 0x00040000,
  MODULATOR: 0x00080000,
  SDR_CAPTURE: 0x00100000,
  EXT_PIX_FORMAT: 0x00200000,
  SDR_OUTPUT: 0x00400000,
  META_CAPTURE: 0x00800000,
  READWRITE: 0x01000000,
  /** V4L2_CAP_EDID. Its old name is V4L2_CAP_ASYNCIO. */
  EDID: 0x02000000,
  STREAMING: 0x04000000,
  META_OUTPUT: 0x08000000,
  TOUCH: 0x10000000,
  IO_MC: 0x20000000,
  DEVICE_CAPS: 0x80000000,
} as const;

/** V4L2_BUF_CAP_SUPPORTS_*. */
export const BufferCapability = {
  MMAP: 0x01,
  USERPTR: 0x02,
  DMABUF: 0x04,
  REQUESTS: 0x08,
  ORPHANED_BUFS: 0x10,
  M2M_HOLD_CAPTURE_BUF: 0x20,
  MMAP_CACHE_HINTS: 0x40,
  MAX_NUM_BUFFERS: 0x80,
  REMOVE_BUFS: 0x100,
} as const;

/** V4L2_BUF_FLAG_*. */
export const BufferFlag = {
  MAPPED: 0x00000001,
  QUEUED: 0x00000002,
  DONE: 0x00000004,
  KEYFRAME: 0x00000008,
  PFRAME: 0x00000010,
  BFRAME: 0x00000020,
  ERROR: 0x00000040,
  IN_REQUEST: 0x00000080,
  TIMECODE: 0x00000100,
  M2M_HOLD_CAPTURE_BUF: 0x00000200,
  PREPARED: 0x00000400,
  NO_CACHE_INVALIDATE: 0x00000800,
  NO_CACHE_CLEAN: 0x00001000,
  LAST: 0x00100000,
  REQUEST_FD: 0x00800000,
} as const;

/** V4L2_BUF_FLAG_TIMESTAMP_* and V4L2_BUF_FLAG_TSTAMP_SRC_MASK: of what clock a buffer's timestamp is, and of when. */
export const TimestampFlag = { MASK: 0xe000, MONOTONIC: 0x2000, COPY: 0x4000, SOURCE_MASK: 0x70000 } as const;

/** V4L2_EVENT_* and V4L2_EVENT_SUB_FL_*. */
export const EventType = {
  ALL: 0,
  VSYNC: 1,
  EOS: 2,
  CTRL: 3,
  FRAME_SYNC: 4,
  SOURCE_CHANGE: 5,
  MOTION_DET: 6,
} as const;
/** V4L2_EVENT_SRC_CH_*, in the first word of `u` of a SOURCE_CHANGE event. */
export const SOURCE_CHANGE_RESOLUTION = 0x0001;
export const SubscriptionFlag = { SEND_INITIAL: 1, ALLOW_FEEDBACK: 2 } as const;

/** struct v4l2_capability. */
export const capability = struct({
  driver: text(16),
  card: text(32),
  busInfo: text(32),
  version: u32,
  capabilities: u32,
  deviceCaps: u32,
  reserved: bytes(12),
});

/** struct v4l2_buffer. */
export const buffer = struct({
  index: u32,
  type: u32,
  bytesused: u32,
  flags: u32,
  field: u32,
  pad20: u32,
  timestamp: bytes(16),
  timecode: bytes(16),
  sequence: u32,
  memory: u32,
  /** The union `m`: offset (u32), userptr (u64), planes (pointer) or fd (s32). */
  m: bytes(8),
  length: u32,
  reserved2: u32,
  requestFd: i32,
  pad84: u32,
});

/** struct v4l2_plane. */
export const plane = struct({
  bytesused: u32,
  length: u32,
  m: bytes(8),
  dataOffset: u32,
  reserved: bytes(44),
});

/** struct v4l2_requestbuffers. */
export const requestBuffers = struct({
  count: u32,
  type: u32,
  memory: u32,
  capabilities: u32,
  flags: u8,
  reserved: bytes(3),
});

/** struct v4l2_create_buffers. `format` is a record `format`. */
export const createBuffers = struct({
  index: u32,
  count: u32,
  memory: u32,
  pad12: u32,
  format: bytes(208),
  capabilities: u32,
  flags: u32,
  maxNumBuffers: u32,
  reserved: bytes(20),
});

/** struct v4l2_exportbuffer. */
export const exportBuffer = struct({
  type: u32,
  index: u32,
  plane: u32,
  flags: u32,
  fd: i32,
  reserved: bytes(44),
});

/** Payload of STREAMON and STREAMOFF: V4L2_BUF_TYPE_*. */
export const streamType = struct({ type: u32 });

/** struct v4l2_remove_buffers. */
export const removeBuffers = struct({ index: u32, count: u32, type: u32, reserved: bytes(52) });

/** struct v4l2_format. */
export const format = struct({ type: u32, pad4: u32, fmt: bytes(200) });
/** `fmt` of single-planar video types (struct v4l2_pix_format). */
export const pixFormat = struct({
  width: u32,
  height: u32,
  pixelformat: u32,
  field: u32,
  bytesperline: u32,
  sizeimage: u32,
  colorspace: u32,
  priv: u32,
  flags: u32,
  ycbcrEnc: u32,
  quantization: u32,
  xferFunc: u32,
});
/** struct v4l2_plane_pix_format: an element of `planeFmt`. Sizes are in bytes. */
export const planePixFormat = struct({ sizeimage: u32, bytesperline: u32, reserved: bytes(12) });
/** `fmt` of multi-planar video types (struct v4l2_pix_format_mplane). */
export const pixFormatMplane = struct({
  width: u32,
  height: u32,
  pixelformat: u32,
  field: u32,
  colorspace: u32,
  planeFmt: bytes(8 * 20),
  numPlanes: u8,
  flags: u8,
  ycbcrEnc: u8,
  quantization: u8,
  xferFunc: u8,
  reserved: bytes(7),
});

/** V4L2_FMTDESC_FLAG_ENUM_ALL, in the index of ENUM_FMT (Linux 6.14). */
export const FMTDESC_ENUM_ALL = 0x80000000;
/** struct v4l2_fmtdesc. */
export const fmtdesc = struct({
  index: u32,
  type: u32,
  flags: u32,
  description: text(32),
  pixelformat: u32,
  mbusCode: u32,
  reserved: bytes(12),
});

/** struct v4l2_event_subscription. */
export const eventSubscription = struct({ type: u32, id: u32, flags: u32, reserved: bytes(20) });

/** struct v4l2_event. */
export const event = struct({
  type: u32,
  pad4: u32,
  u: bytes(64),
  pending: u32,
  sequence: u32,
  timestamp: bytes(16),
  id: u32,
  reserved: bytes(32),
  pad132: u32,
});

/** struct v4l2_edid. `edid` is a pointer to `blocks` times EDID_BLOCK bytes. */
export const edid = struct({ pad: u32, startBlock: u32, blocks: u32, reserved: bytes(20), edid: bytes(8) });
/** Bytes of one EDID block. */
export const EDID_BLOCK = 128;
export const MAX_EDID_BLOCKS = 256;

/** V4L2_ENC_CMD_* and V4L2_DEC_CMD_*, in the first word of struct v4l2_encoder_cmd and v4l2_decoder_cmd. */
export const CODEC_CMD_START = 0;
export const CODEC_CMD_STOP = 1;

/** V4L2_TUNER_CAP_*. */
export const TunerCapability = { RDS: 0x0080, RDS_BLOCK_IO: 0x0100, RDS_CONTROLS: 0x0200 } as const;

/** struct v4l2_frmsizeenum. The layout of `size` depends on `type`. */
export const frmsizeenum = struct({
  index: u32,
  pixelFormat: u32,
  type: u32,
  size: bytes(24),
  reserved: bytes(8),
});
/** struct v4l2_frmivalenum. `interval` has one fraction or three. */
export const frmivalenum = struct({
  index: u32,
  pixelFormat: u32,
  width: u32,
  height: u32,
  type: u32,
  interval: bytes(24),
  reserved: bytes(8),
});
/** struct v4l2_streamparm. timeperframe is at byte 12; readbuffers (capture) or writebuffers (output) is at byte 24. */
export const streamparm = struct({
  type: u32,
  capability: u32,
  mode: u32,
  numerator: u32,
  denominator: u32,
  extendedMode: u32,
  readbuffers: u32,
  reserved: bytes(176),
});
