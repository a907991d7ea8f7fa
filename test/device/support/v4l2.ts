/** Payloads of <linux/videodev2.h> written by hand, and the numbers in them. */
import { join, record, u32, u64, zeros } from './bytes.js';

export const Nr = {
  ENUM_FMT: 2,
  G_FMT: 4,
  S_FMT: 5,
  REQBUFS: 8,
  QUERYBUF: 9,
  QBUF: 15,
  STREAMON: 18,
  STREAMOFF: 19,
  G_CTRL: 27,
  S_CTRL: 28,
  TRY_FMT: 64,
  G_EXT_CTRLS: 71,
  S_EXT_CTRLS: 72,
  TRY_EXT_CTRLS: 73,
  SUBSCRIBE_EVENT: 90,
  UNSUBSCRIBE_EVENT: 91,
  CREATE_BUFS: 92,
  PREPARE_BUF: 93,
} as const;

export const CAPTURE = 1;
export const CAPTURE_MPLANE = 9;
export const EPERM = 1;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const ENOMEM = 12;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EINVAL = 22;
export const EMFILE = 24;
export const ENOTTY = 25;
export const ENOSPC = 28;
export const ERANGE = 34;
export const ECONNRESET = 104;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;

export interface BufferFields {
  readonly index?: number;
  readonly type?: number;
  readonly bytesused?: number;
  readonly flags?: number;
  readonly memory?: number;
  readonly m?: number | bigint;
  readonly length?: number;
  readonly requestFd?: number;
}

/** struct v4l2_buffer: 88 bytes. */
export function v4l2Buffer(fields: BufferFields): Buffer {
  const {
    index = 0,
    type = CAPTURE,
    bytesused = 0,
    flags = 0,
    memory = 1,
    m = 0,
    length = 0,
    requestFd = 0,
  } = fields;
  return record(88, {
    0: index,
    4: type,
    8: bytesused,
    12: flags,
    60: memory,
    64: u64(m),
    72: length,
    80: requestFd,
  });
}

/** struct v4l2_plane: 64 bytes. */
export function v4l2Plane(length = 0, m: number | bigint = 0, bytesused = 0): Buffer {
  return record(64, { 0: bytesused, 4: length, 8: u64(m) });
}

/** struct v4l2_requestbuffers: 20 bytes. */
export function requestBuffers(count: number, type = CAPTURE, memory = 1, flags = 0): Buffer {
  return u32(count, type, memory, 0, flags);
}

/** struct v4l2_create_buffers: 256 bytes, with the format at byte 16. */
export function createBuffers(count: number, format: Uint8Array, memory = 1): Buffer {
  return record(256, { 4: count, 8: memory, 16: format });
}

/** struct v4l2_ext_controls: 32 bytes. */
export function controls(fields: {
  which?: number;
  count: number;
  requestFd?: number;
  pointer?: bigint;
}): Buffer {
  const { which = 0, count, requestFd = 0, pointer = 0n } = fields;
  return join(u32(which, count, 0xdead, requestFd, 0, 0), u64(pointer));
}

/** struct v4l2_ext_control: 20 bytes, packed. */
export function control(id: number, size = 0, value: number | bigint = 0): Buffer {
  return join(u32(id, size, 0), u64(value));
}

/** struct virtio_media_sg_entry: 16 bytes; the reserved word is never 0. */
export function sg(start: number | bigint, length: number): Buffer {
  return join(u64(start), u32(length, 0x5a5a_5a5a));
}

/** struct v4l2_event_subscription: 32 bytes. */
export function subscription(type: number, id: number, flags: number): Buffer {
  return join(u32(type, id, flags), zeros(20));
}

/** struct v4l2_format: 208 bytes. */
export function format(type: number, fields: Readonly<Record<number, number | Uint8Array>> = {}): Buffer {
  return record(208, { 0: type, ...fields });
}

/** Controls of vivid. */
export const Control = {
  BRIGHTNESS: 0x0098_0900,
  BUTTON: 0x0098_f900,
  INTEGER: 0x0098_f902,
  INTEGER64: 0x0098_f903,
  /** 2 to 4 characters. */
  STRING: 0x0098_f905,
  /** 16-bit elements, 8 by 16. */
  U16_MATRIX: 0x0098_f909,
  /** 120 bytes. */
  U8_ARRAY: 0x0098_f90a,
  READ_ONLY: 0x0098_f90c,
  /** 32-bit elements, at most 100. */
  DYNAMIC_ARRAY: 0x0098_f90d,
} as const;
