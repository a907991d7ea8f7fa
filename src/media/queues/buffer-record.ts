import { NONE } from '../../struct.js';
import { BufferFlag, buffer, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
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
/**
 * Bits that the host kernel sets and the bridge replaces. MAPPED must describe the guest's mappings, not the host's.
 * The request flags are shown only for requests that the guest made itself.
 */
const HIDDEN_FLAGS = BufferFlag.REQUEST_FD | BufferFlag.IN_REQUEST | BufferFlag.MAPPED;

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

/** Bytes and host mmap offset (bytes) of each plane, from what QUERYBUF returned. */
export function hostPlanes(host: HostBuffer): { length: number; offset: number }[] {
  const { length, m } = buffer.read(host.buffer);
  const { planes } = host;
  if (!planes) return [{ length, offset: Buffer.from(m).readUInt32LE(0) }];
  return Array.from({ length: Math.min(length, VIDEO_MAX_PLANES) }, (_, number) => {
    const each = plane.read(planes, number * plane.size);
    return { length: each.length, offset: Buffer.from(each.m).readUInt32LE(0) };
  });
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
  const record = buffer.read(guest.record);
  const { host: memory } = backings[queue.backing];
  const host = buffer.encode({
    ...record,
    flags: record.flags & guestFlags(queue),
    memory,
    m: NONE,
    length: queue.isMultiplanar ? vb.planes.length : (lengths[0] ?? 0),
    reserved2: 0,
    requestFd: 0,
    pad20: 0,
    pad84: 0,
  });
  if (!queue.isMultiplanar) return { buffer: host };
  const planes = Buffer.alloc(vb.planes.length * plane.size);
  for (let at = 0; at < planes.length; at += plane.size) {
    const { bytesused, dataOffset } = plane.read(guest.planes, at);
    const length = lengths[at / plane.size] ?? 0;
    plane.write(planes, { bytesused, length, m: NONE, dataOffset, reserved: NONE }, at);
  }
  return { buffer: host, planes };
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
  const record = buffer.read(host.buffer);
  const answer = buffer.encode({
    ...record,
    ...(host.planes ? { m: buffer.read(guest.record).m } : own[0]),
    flags: (record.flags & ~HIDDEN_FLAGS) | mappedFlag(vb) | requestFlags(vb, record.flags),
    memory: queue.memory,
    reserved2: 0,
    requestFd: vb.request,
  });
  if (!host.planes) return [answer];
  const planes = Buffer.from(host.planes);
  for (let at = 0; at < planes.length; at += plane.size) {
    plane.write(planes, { ...plane.read(planes, at), ...own[at / plane.size] }, at);
  }
  return [answer, planes, guest.planes.subarray(planes.length)];
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
  const record = buffer.read(host.buffer);
  const planes = Buffer.alloc(VIDEO_MAX_PLANES * plane.size);
  const count = host.planes ? Math.min(record.length, VIDEO_MAX_PLANES) : 0;
  for (let number = 0; number < count; number++) {
    const at = number * plane.size;
    const from = plane.read(host.planes!, at);
    plane.write(planes, { ...from, m: NONE, length: guestLength(vb, number) ?? from.length }, at);
  }
  const hidden = HIDDEN_FLAGS | BufferFlag.QUEUED | BufferFlag.DONE;
  return {
    buffer: buffer.encode({
      ...record,
      flags: (record.flags & ~hidden) | (vb ? mappedFlag(vb) | requestFlags(vb, record.flags) : 0),
      memory: queue.memory,
      m: NONE,
      length: host.planes ? record.length : (guestLength(vb, 0) ?? record.length),
      reserved2: 0,
      requestFd: vb?.request ?? 0,
    }),
    planes,
  };
}

/** `bytesused` (bytes) of plane `number` in the host's record. */
export function bytesUsed(host: HostBuffer, number: number): number {
  return host.planes
    ? plane.read(host.planes, number * plane.size).bytesused
    : buffer.read(host.buffer).bytesused;
}

/** SHARED_PAGES: bytes of the plane as the guest gave them, which may be more than the host's buffer has. */
function guestLength(vb: VideoBuffer | undefined, number: number): number | undefined {
  return vb?.planes[number]?.pages?.length;
}

/** V4L2_BUF_FLAG_MAPPED if the guest has a plane of the buffer mapped. */
function mappedFlag(vb: VideoBuffer): number {
  return vb.planes.some(({ slot }) => (slot?.references ?? 0) > 0) ? BufferFlag.MAPPED : 0;
}

/** REQUEST_FD and IN_REQUEST as the kernel set them, if the guest queued the buffer to a request of its own. */
function requestFlags({ request }: VideoBuffer, flags: number): number {
  return request === 0 ? 0 : flags & (BufferFlag.REQUEST_FD | BufferFlag.IN_REQUEST);
}
