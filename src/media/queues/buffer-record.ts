/** A v4l2_buffer with its planes on its way between guest and host kernel: only what is listed here crosses. */
import { BufferFlag, buffer, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import { backings } from './backings.js';
import type { BufferQueue } from './buffer-queue.js';
import type { HostBuffer, VideoBuffer } from './video-buffer.js';

/** Bits of v4l2_buffer.flags that a guest may set; the rest is the kernel's, or names host descriptors. */
const GUEST_FLAGS =
  BufferFlag.KEYFRAME |
  BufferFlag.PFRAME |
  BufferFlag.BFRAME |
  BufferFlag.TIMECODE |
  BufferFlag.M2M_HOLD_CAPTURE_BUF |
  BufferFlag.NO_CACHE_INVALIDATE |
  BufferFlag.NO_CACHE_CLEAN |
  BufferFlag.LAST;
/** MAPPED is about the guest's own mappings; requests are only those that it made itself. */
const HIDDEN_FLAGS = BufferFlag.REQUEST_FD | BufferFlag.IN_REQUEST | BufferFlag.MAPPED;

/** What a guest sent with QUERYBUF, QBUF or PREPARE_BUF. */
export interface GuestBuffer {
  readonly record: Buffer;
  /** The plane records of a multi-planar type, as many as the guest has; empty otherwise. */
  readonly planes: Buffer;
  /** What follows: SG lists or UUIDs. */
  readonly rest: Buffer;
}

/** What a guest says of one of its planes; of the buffer itself where the type has none. */
export interface GuestPlane {
  readonly length: number;
  /** The union as it came: m.offset, m.userptr or m.fd. */
  readonly m: Uint8Array;
}

/** One entry for each plane that the host's buffer has. */
export function guestPlanes(queue: BufferQueue, vb: VideoBuffer, guest: GuestBuffer): GuestPlane[] {
  const pick = ({ length, m }: GuestPlane): GuestPlane => ({ length, m });
  if (!queue.isMultiplanar) return [pick(buffer.read(guest.record))];
  return vb.planes.map((_, number) => pick(plane.read(guest.planes, number * plane.size)));
}

/** The record for the kernel, with these plane lengths. Pointers and descriptors go beside it, never in it. */
export function hostRecord(
  queue: BufferQueue,
  vb: VideoBuffer,
  guest: GuestBuffer,
  lengths: readonly number[],
): HostBuffer {
  const record = buffer.read(guest.record);
  const host = buffer.encode({
    ...record,
    flags: record.flags & GUEST_FLAGS,
    memory: backings[queue.backing].host,
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
 * The guest's view of a record that the kernel has answered: its own union and length for each plane, its own pointer
 * to the planes. Plane records beyond the buffer's planes are the guest's own.
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

/** What EVT_DQBUF carries: the record as DQBUF returned it, without anything that is an address or a descriptor. */
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

/** `bytesused` of each plane in a record. */
export function bytesUsed(host: HostBuffer, number: number): number {
  return host.planes
    ? plane.read(host.planes, number * plane.size).bytesused
    : buffer.read(host.buffer).bytesused;
}

/** A guest's own pages may be longer than the host's buffer. */
function guestLength(vb: VideoBuffer | undefined, number: number): number | undefined {
  return vb?.planes[number]?.pages?.length;
}

function mappedFlag(vb: VideoBuffer): number {
  return vb.planes.some(({ slot }) => (slot?.references ?? 0) > 0) ? BufferFlag.MAPPED : 0;
}

/** REQUEST_FD and IN_REQUEST as the kernel has them, for a request of the guest's own. */
function requestFlags({ request }: VideoBuffer, flags: number): number {
  return request === 0 ? 0 : flags & (BufferFlag.REQUEST_FD | BufferFlag.IN_REQUEST);
}

const NONE = new Uint8Array(0);
