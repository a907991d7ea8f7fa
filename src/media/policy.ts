/** What a guest may do with a device, and how much it may use up. docs/security.md shows this file as a table. */

/** Files of one node that are open or not closed yet, for all VMMs together. v4l2-compliance opens 100 at once. */
export const MAX_SESSIONS = 128;
/** Commands of one device that wait or run at a time; more stay in the ring. The Linux driver sends one at a time. */
export const MAX_COMMANDS = 64;
/**
 * Threads of a commandq. They run flat commands, each in one session; the last one runs none, because somebody has to
 * wait for the next kick. What comes while they are all in the kernel goes through the loop.
 */
export const MAX_RING_THREADS = 5;
/** Buffers of one queue. VIDEO_MAX_FRAME is 32; newer queues take 64. */
export const MAX_BUFFERS = 64;
/** Bytes of all buffers of one session. */
export const MAX_SESSION_BYTES = 0x4000_0000;
/** Bytes of all buffers of one node. If the hardware has not given back buffers of a VMM that has left, they count. */
export const MAX_DEVICE_BYTES = 0x1_0000_0000;
/** Bytes of all control payloads of one command. */
export const MAX_CONTROL_PAYLOAD = 0x10_0000;
/**
 * Pieces of guest memory in the linear mappings of all sessions of one node. The kernel keeps one mapping for each
 * piece, and vm.max_map_count limits those.
 */
export const MAX_LINEAR_PIECES = 8192;
/**
 * Bytes of the SG lists that are kept with the buffers of one session. A piece takes 16 bytes. The limit is eight
 * times what buffers made of single pages need.
 */
export const MAX_SESSION_LIST_BYTES = 0x200_0000;
/** Bytes of all SG lists that are kept with buffers of one device. */
export const MAX_DEVICE_LIST_BYTES = 0x400_0000;
/** Media requests that one session may have at a time (`--requests handles`). */
export const MAX_REQUEST_HANDLES = 32;
/** Event subscriptions of one session. */
export const MAX_SUBSCRIPTIONS = 256;

/**
 * Every chain is answered at most so many milliseconds after its arrival. The Linux driver gives up after 5 s and
 * frees the memory that the chain points to.
 */
export const ANSWER_DEADLINE_MS = 4000;
/**
 * Milliseconds. An older chain goes back to the driver with nothing written to it: the driver is about to give up,
 * and a write may come too late.
 */
export const LAST_WRITE_MS = 4500;
/** Milliseconds. An older chain does not go back before its ring stops: the Linux driver has freed its memory. */
export const GUEST_TIMEOUT_MS = 5000;
/** Bytes of the late result that a session keeps: the result of a command that was answered before its ioctl ended. */
export const MAX_LATE_BYTES = 0x1_0000;
/** Milliseconds for which a late result is kept for the same request. */
export const MAX_LATE_MS = 10_000;
/** Milliseconds that an answer waits until the guest has given back the events that were sent before it. */
export const EVENT_BARRIER_MS = 300;

/** Bytes. Everything that a guest maps has this alignment, because a guest may have pages of 64 KiB. */
export const MAP_ALIGNMENT = 0x1_0000;

/** An entry of a list of the operator. It names every number whose bits under `mask` equal those of `value`. */
export interface Entry {
  readonly mask: number;
  readonly value: number;
}

/** The control ids or fourccs that a guest may use: those in `allow` (null: all), without those in `deny`. */
export interface Access {
  readonly allow: readonly Entry[] | null;
  readonly deny: readonly Entry[];
}

/**
 * What the guest of one device may do, as the operator's flags say. The list of ioctls (v4l2/ioctls.ts) and the other
 * limits above have no flag.
 */
export interface Policy {
  /** By control id. For the guest, the driver does not have the other controls (ioctls/hidden-controls.ts). */
  readonly controls: Access;
  /** By fourcc. For the guest, the driver does not have the other formats (ioctls/formats.ts). */
  readonly formats: Access;
  /** Sessions of the node that are open or not closed yet: at most MAX_SESSIONS. */
  readonly maxSessions: number;
  /** Buffers of a queue: at most MAX_BUFFERS. */
  readonly maxBuffers: number;
  /** Bytes of all buffers of a session: at most MAX_SESSION_BYTES. */
  readonly maxBufferBytes: number;
  /** Bytes of all buffers of all sessions of the node. MAX_DEVICE_BYTES by default; the operator may allow more. */
  readonly maxDeviceBytes: number;
}

const EVERYTHING: Access = { allow: null, deny: [] };

/** Everything that virtio-media carries, within the limits above. */
export const defaultPolicy: Policy = {
  controls: EVERYTHING,
  formats: EVERYTHING,
  maxSessions: MAX_SESSIONS,
  maxBuffers: MAX_BUFFERS,
  maxBufferBytes: MAX_SESSION_BYTES,
  maxDeviceBytes: MAX_DEVICE_BYTES,
};

/** Whether every number is permitted. */
export function isOpen({ allow, deny }: Access): boolean {
  return allow === null && deny.length === 0;
}

/**
 * Whether `number` is permitted: `allow` is null or an entry of it names the number, and no entry of `deny` names it.
 * `number` is a control id without flags or alias, or a fourcc: 32 bits, signed or unsigned.
 */
export function allows({ allow, deny }: Access, number: number): boolean {
  const isNamed = ({ mask, value }: Entry): boolean => (number & mask) === (value & mask);
  return (allow === null || allow.some(isNamed)) && !deny.some(isNamed);
}
