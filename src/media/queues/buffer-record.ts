import { NONE } from '../../struct.js';
import { BufferFlag, buffer, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import { toGuest, toHost } from '../../v4l2/record-translation.js';
import { backings } from './backings.js';
import type { BufferQueue } from './buffer-queue.js';
import type { HostBuffer, VideoBuffer } from './video-buffer.js';

/** Bits of v4l2_buffer.flags that a guest may set. The kernel sets the others, or they refer to host descriptors. */
const GUEST_FLAGS =
  BufferFlag.KEYFRAME |
  BufferFlag.PFRAME |
  BufferFlag.BFRAME |
  BufferFlag.TIMECODE |
  BufferFlag.M2M_HOLD_CAPTURE_BUF |
  BufferFlag.LAST;
/** Cache hints. They pass if the backing keeps them, otherwise they are cleared, as vb2 does without the capability. */
const HINTS = BufferFlag.NO_CACHE_INVALIDATE | BufferFlag.NO_CACHE_CLEAN;
/** What the kernel says of requests. It is shown only for requests that the guest made itself. */
const REQUEST_FLAGS = BufferFlag.REQUEST_FD | BufferFlag.IN_REQUEST;

/** The bits of v4l2_buffer.flags that reach the host kernel. */
export function guestFlags({ backing }: BufferQueue): number {
  return backings[backing].hints ? GUEST_FLAGS | HINTS : GUEST_FLAGS;
}

/** The payload that a guest sent with QUERYBUF, QBUF or PREPARE_BUF. */
export interface GuestBuffer {
  /** struct v4l2_buffer, 88 bytes. */
  readonly record: Buffer;
  /** Multi-planar types: the guest's v4l2_plane records, 64 bytes each. Other types: empty. */
  readonly planes: Buffer;
  /** The bytes that follow the records: SG lists (SHARED_PAGES) or UUIDs (OBJECT). */
  readonly rest: Buffer;
}

/** The guest's fields of one plane record. For a single-planar type they come from the v4l2_buffer. */
export interface GuestPlane {
  /** Bytes. */
  readonly length: number;
  /** The union `m` as the guest sent it, 8 bytes: mmap offset, userptr or fd. */
  readonly m: Uint8Array;
}

/** The guest's plane fields, one entry for each plane of the host's buffer. */
export function guestPlanes(queue: BufferQueue, vb: VideoBuffer, guest: GuestBuffer): GuestPlane[] {
  const pick = ({ length, m }: GuestPlane): GuestPlane => ({ length, m });
  if (!queue.isMultiplanar) return [pick(buffer.read(guest.record))];
  return vb.planes.map((_, number) => pick(plane.read(guest.planes, number * plane.size)));
}

/** The records for QUERYBUF or DQBUF of the host: type, memory and index, with room for all planes. */
export function emptyRecord(queue: BufferQueue, index = 0): HostBuffer {
  const record = Buffer.alloc(buffer.size);
  record.writeUInt32LE(index, buffer.offset.index);
  record.writeUInt32LE(queue.type, buffer.offset.type);
  record.writeUInt32LE(backings[queue.backing].host, buffer.offset.memory);
  if (!queue.isMultiplanar) return { buffer: record };
  record.writeUInt32LE(VIDEO_MAX_PLANES, buffer.offset.length);
  return { buffer: record, planes: Buffer.alloc(VIDEO_MAX_PLANES * plane.size) };
}

/**
 * The records for the host kernel. `lengths`: bytes of each plane. The unions `m` are empty: pointers and descriptors
 * go to the addon in fields of their own.
 */
export function hostRecord(
  queue: BufferQueue,
  vb: VideoBuffer,
  guest: GuestBuffer,
  lengths: readonly number[],
): HostBuffer {
  const record = Buffer.from(guest.record);
  const planes = Buffer.from(
    guest.planes.subarray(0, queue.isMultiplanar ? vb.planes.length * plane.size : 0),
  );
  toHost(record, planes, { memory: backings[queue.backing].host, guestFlags: guestFlags(queue), lengths });
  return queue.isMultiplanar ? { buffer: record, planes } : { buffer: record };
}

/**
 * The guest's view of the records that the kernel returned. `own`: the union and the length that the guest sees, for
 * each plane. The guest's pointer to its planes comes back unchanged, and so do plane records beyond the planes of the
 * buffer. Returns the parts of the response payload in their order: v4l2_buffer, plane records, the guest's further
 * plane records.
 */
export function guestRecord(
  queue: BufferQueue,
  vb: VideoBuffer,
  host: HostBuffer,
  guest: GuestBuffer,
  own: readonly Partial<GuestPlane>[],
): Uint8Array[] {
  const answer = Buffer.from(host.buffer);
  const planes = Buffer.from(host.planes ?? NONE);
  const pointer = buffer.read(guest.record).m;
  const seen = own.map((each, number) => ({ m: NONE, length: planeField(host, number, 'length'), ...each }));
  toGuest(answer, planes, { ...guestSide(queue, vb), dequeued: false, pointer, planes: seen });
  return host.planes ? [answer, planes, guest.planes.subarray(planes.length)] : [answer];
}

/**
 * The fields of EVT_DQBUF: the v4l2_buffer as DQBUF returned it, and VIDEO_MAX_PLANES plane records (64 bytes each).
 * Addresses and descriptors are cleared. `vb` undefined: the queue has no buffer of this index.
 */
export function received(
  queue: BufferQueue,
  vb: VideoBuffer | undefined,
  host: HostBuffer,
): { buffer: Uint8Array; planes: Uint8Array } {
  const record = Buffer.from(host.buffer);
  const planes = Buffer.alloc(VIDEO_MAX_PLANES * plane.size);
  const count = host.planes ? Math.min(buffer.read(record).length, VIDEO_MAX_PLANES) : 0;
  const used = planes.subarray(0, count * plane.size);
  used.set(host.planes?.subarray(0, used.length) ?? NONE);
  const seen = Array.from({ length: host.planes ? count : 1 }, (_, number) => ({
    m: NONE,
    length: vb?.planes[number]?.pages?.length ?? planeField(host, number, 'length'),
  }));
  toGuest(record, used, { ...guestSide(queue, vb), dequeued: true, pointer: NONE, planes: seen });
  return { buffer: record, planes };
}

/** `bytesused` (bytes) of plane `number` in the host's record. */
export const bytesUsed = (host: HostBuffer, number: number): number => planeField(host, number, 'bytesused');

/** A field of plane `number` in the host's record. */
function planeField(host: HostBuffer, number: number, field: 'bytesused' | 'length'): number {
  return host.planes
    ? host.planes.readUInt32LE(number * plane.size + plane.offset[field])
    : host.buffer.readUInt32LE(buffer.offset[field]);
}

/** What does not depend on the planes. */
function guestSide({ memory }: BufferQueue, vb: VideoBuffer | undefined) {
  const isMapped = vb?.planes.some(({ slot }) => (slot?.references ?? 0) > 0) ?? false;
  const requestFd = vb?.request ?? 0;
  return {
    memory,
    shownFlags: requestFd === 0 ? 0 : REQUEST_FLAGS,
    addedFlags: isMapped ? BufferFlag.MAPPED : 0,
    requestFd,
  };
}
