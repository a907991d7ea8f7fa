/**
 * The virtio-media wire protocol: VIRTIO 1.4, "Media Device". Numbers and records only.
 * All integers are little-endian; payloads are the 64-bit layouts of v4l2/layout.ts.
 */
import { bytes, struct, text, u32, u64 } from '../struct.js';

/** Index of the virtqueue. */
export const COMMANDQ = 0;
/** Index of the virtqueue. */
export const EVENTQ = 1;

/** Commands of the commandq. */
export const Command = { OPEN: 1, CLOSE: 2, IOCTL: 3, MMAP: 4, MUNMAP: 5 } as const;
/** Events of the eventq. */
export const Event = { ERROR: 0, DQBUF: 1, EVENT: 2 } as const;
/** Flag of MMAP: the guest may write to the mapping. */
export const MMAP_FLAG_RW = 1;

/** The most bytes of `card` in UTF-8. The guest's driver copies 32 bytes, so the last one must stay 0. */
export const MAX_CARD_BYTES = 31;

/** Configuration space, 40 bytes. */
export const config = struct({ deviceCaps: u32, deviceType: u32, card: text(32) });

/** Starts every command. `reserved` is not read. */
export const commandHeader = struct({ command: u32, reserved: u32 });
/** Starts every response. `status`: a positive errno, 0: success. */
export const responseHeader = struct({ status: u32, reserved: u32 });
/** 16 bytes, on success only. `sessionId`: not 0. */
export const openResponse = struct({ status: u32, reserved: u32, sessionId: u32, reserved2: u32 });
export const closeCommand = struct({ command: u32, reserved: u32, sessionId: u32, reserved2: u32 });
/** 16 bytes, then the payload. `code`: the number of the _IO* macro alone, without direction and size. */
export const ioctlCommand = struct({ command: u32, reserved: u32, sessionId: u32, code: u32 });
/** 20 bytes, without padding at the end. The 2024 draft has a 64-bit offset, so 24 bytes; the upper half must be 0. */
export const mmapCommand = struct({ command: u32, reserved: u32, sessionId: u32, flags: u32, offset: u32 });
/** `driverAddress`: byte offset in SHM region 0. `length`: bytes. */
export const mmapResponse = struct({ status: u32, reserved: u32, driverAddress: u64, length: u64 });
/** `driverAddress`: byte offset in SHM region 0. */
export const munmapCommand = struct({ command: u32, reserved: u32, driverAddress: u64 });

/**
 * Entry of an SG list: one piece of the guest memory that a pointer of a payload stands for. `start`: guest-physical;
 * `length`: bytes.
 */
export const sgEntry = struct({ start: u64, length: u32, reserved: u32 });

/**
 * Ioctl codes of media requests (docs/stateless.md). They are VIDIOC numbers from BASE_VIDIOC_PRIVATE on. A device
 * that does not offer media requests answers ENOTTY.
 */
export const RequestCode = { ALLOC: 192, QUEUE: 193, REINIT: 194, CLOSE: 195 } as const;

/**
 * Bytes of the UUID of an object. The UUID replaces a file descriptor: it follows the structure that has the
 * descriptor's field.
 */
export const UUID_BYTES = 16;

/** Starts every event. */
export const eventHeader = struct({ event: u32, sessionId: u32 });
/** `errno` is positive. */
export const errorEvent = struct({ event: u32, sessionId: u32, errno: u32, reserved: u32 });
/** 608 bytes, always sent whole: the Linux driver drops a shorter event, and the buffer is lost with it. */
export const dqbufEvent = struct({ event: u32, sessionId: u32, buffer: bytes(88), planes: bytes(8 * 64) });
/** 144 bytes: a struct v4l2_event as DQEVENT gives it. */
export const sessionEvent = struct({ event: u32, sessionId: u32, v4l2Event: bytes(136) });
