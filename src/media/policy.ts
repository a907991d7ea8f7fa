/** What a guest may do with a device, and what it may use up: docs/security.md is this file as a table. */

/** Files of one node that are open, or not closed yet, whichever VMM they were opened for; v4l2-compliance opens 100 at once. */
export const MAX_SESSIONS = 128;
/** Commands of one device that wait or run at the same time (the Linux driver has one); more stay in the ring. */
export const MAX_COMMANDS = 64;
/** Buffers of one queue (VIDEO_MAX_FRAME is 32, newer queues take 64). */
export const MAX_BUFFERS = 64;
/** Bytes of all buffers of one session. */
export const MAX_SESSION_BYTES = 0x4000_0000;
/** Bytes of all buffers of one node, those included that the hardware holds of a VMM that has left. */
export const MAX_DEVICE_BYTES = 0x1_0000_0000;
/** Bytes of all control payloads of one command. */
export const MAX_CONTROL_PAYLOAD = 0x10_0000;
/** Pieces of guest memory that the sessions of one node may have joined: the kernel keeps a mapping for each (vm.max_map_count). */
export const MAX_LINEAR_PIECES = 8192;
/** Bytes of the SG lists that are kept with the buffers of one session, 16 for each piece: eight times what single pages need. */
export const MAX_SESSION_LIST_BYTES = 0x200_0000;
/** Bytes of all SG lists that are kept with buffers of one device. */
export const MAX_DEVICE_LIST_BYTES = 0x400_0000;
/** Media requests that one session may hold (`--requests handles`). */
export const MAX_REQUEST_HANDLES = 32;
/** Subscriptions that one session may hold. */
export const MAX_SUBSCRIPTIONS = 256;

/** A chain is answered this long after its arrival at the latest: the Linux driver gives up after 5 s and frees what the chain points to. */
export const ANSWER_DEADLINE_MS = 4000;
/** A chain that is older comes back without a byte: the driver is about to give up, and what is written may come too late. */
export const LAST_WRITE_MS = 4500;
/** A chain that is older does not come back at all before its ring stops: the Linux driver has freed what it waits with. */
export const GUEST_TIMEOUT_MS = 5000;
/** Bytes of a result that is kept for a session whose guest was answered before it was there. */
export const MAX_LATE_BYTES = 0x1_0000;
/** How long such a result is kept for the same request. */
export const MAX_LATE_MS = 10_000;
/** How long an answer waits for the guest to give back the events that were sent before it. */
export const EVENT_BARRIER_MS = 300;

/** Alignment of everything the guest maps: guests with 64 KiB pages. */
export const MAP_ALIGNMENT = 0x1_0000;

/** An entry of an operator's list: all numbers that have `value` in the bits of `mask`. */
export interface Entry {
  readonly mask: number;
  readonly value: number;
}

/** All of a kind, or what `allow` names; less what `deny` names. */
export interface Access {
  readonly allow: readonly Entry[] | null;
  readonly deny: readonly Entry[];
}

/** What the guest of one device may do. What is not in here has no flag: the rows of v4l2/ioctls.ts, and the bounds above. */
export interface Policy {
  /** By id. The others are not there (media/hidden-controls.ts). */
  readonly controls: Access;
  /** By fourcc. The driver seems to lack the others (media/formats.ts). */
  readonly formats: Access;
  /** Sessions of the node, open or not closed yet: at most MAX_SESSIONS. */
  readonly maxSessions: number;
  /** Buffers of a queue: at most MAX_BUFFERS. */
  readonly maxBuffers: number;
  /** Bytes of all buffers of a session: at most MAX_SESSION_BYTES. */
  readonly maxBufferBytes: number;
  /** Bytes of all buffers of all sessions of the node: MAX_DEVICE_BYTES, unless an operator has more to spare. */
  readonly maxDeviceBytes: number;
}

const EVERYTHING: Access = { allow: null, deny: [] };

export const defaultPolicy: Policy = {
  controls: EVERYTHING,
  formats: EVERYTHING,
  maxSessions: MAX_SESSIONS,
  maxBuffers: MAX_BUFFERS,
  maxBufferBytes: MAX_SESSION_BYTES,
  maxDeviceBytes: MAX_DEVICE_BYTES,
};

/** Whether nothing of the kind is denied. */
export function isOpen({ allow, deny }: Access): boolean {
  return allow === null && deny.length === 0;
}

export function allows({ allow, deny }: Access, number: number): boolean {
  const isNamed = ({ mask, value }: Entry): boolean => (number & mask) === (value & mask);
  return (allow === null || allow.some(isNamed)) && !deny.some(isNamed);
}
