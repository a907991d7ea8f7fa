/**
 * V4L2_MEMORY_MMAP: buffers that the host provides and the guest maps. On the host's side the queue is MMAP or,
 * where the arena allows zero copy, USERPTR. The four verbs of a memory type: attach the host's form before the
 * ioctl, restore the guest's own afterwards, receive what came back; read is empty (nothing follows the record).
 */

import type { PlaneMemory } from '../../native.js';
import { BufferFlag, buffer, Memory, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import { copyRegion } from '../../virtio/window.js';
import type { Backing, BufferQueue, HeldBuffer, HeldPlane } from '../buffers.js';
import type { SharedMemory } from '../shared-memory.js';

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
/** Bits that a guest never sees: requests do not cross, and MAPPED is about the guest's own mappings. */
const HIDDEN_FLAGS = BufferFlag.REQUEST_FD | BufferFlag.IN_REQUEST | BufferFlag.MAPPED;

/** A v4l2_buffer and its planes in the form that the host kernel gets. */
export interface HostBuffer {
  readonly buffer: Buffer;
  readonly planes?: Buffer;
  readonly memory?: PlaneMemory[];
}

/** The host's V4L2_MEMORY_* behind a guest's MMAP queue. */
export function hostMemory(backing: Backing): number {
  return backing === 'userptr' ? Memory.USERPTR : Memory.MMAP;
}

/** Builds the record for QBUF, PREPARE_BUF or QUERYBUF from the guest's: only listed fields cross. */
export function attach(
  queue: BufferQueue,
  held: HeldBuffer,
  guest: Buffer,
  guestPlanes: Buffer,
  shared: SharedMemory,
): HostBuffer {
  const from = buffer.read(guest);
  const record = buffer.encode({
    ...from,
    flags: from.flags & GUEST_FLAGS,
    memory: hostMemory(queue.backing),
    m: EMPTY,
    length: queue.isMultiplanar ? held.planes.length : (held.planes[0]?.length ?? 0),
    reserved2: 0,
    requestFd: 0,
    pad20: 0,
    pad84: 0,
  });
  const planes = queue.isMultiplanar ? hostPlanes(held, guestPlanes) : undefined;
  const memory =
    queue.backing === 'userptr' ? held.planes.map(({ slot }) => shared.memory(slot!)) : undefined;
  return { buffer: record, ...(planes && { planes }), ...(memory && { memory }) };
}

function hostPlanes(held: HeldBuffer, guestPlanes: Buffer): Buffer {
  const planes = Buffer.alloc(held.planes.length * plane.size);
  held.planes.forEach(({ length }, number) => {
    const at = number * plane.size;
    const { bytesused, dataOffset } = plane.read(guestPlanes, at);
    plane.write(planes, { bytesused, length, m: EMPTY, dataOffset, reserved: EMPTY }, at);
  });
  return planes;
}

/**
 * The guest's view of a record that the kernel has answered: cookies for offsets, its own pointer back. Plane records
 * beyond the buffer's planes are the guest's own.
 */
export function restore(
  held: HeldBuffer,
  host: HostBuffer,
  guest: Buffer,
  guestPlanes: Buffer,
): Uint8Array[] {
  const record = buffer.read(host.buffer);
  const isMultiplanar = host.planes !== undefined;
  const answer = buffer.encode({
    ...record,
    flags: (record.flags & ~HIDDEN_FLAGS) | mappedFlag(held),
    memory: Memory.MMAP,
    m: isMultiplanar ? buffer.read(guest).m : offsetBytes(held.planes[0]),
    reserved2: 0,
    requestFd: 0,
  });
  if (!host.planes) return [answer];
  return [answer, planesWithCookies(held, host.planes), guestPlanes.subarray(host.planes.length)];
}

function planesWithCookies(held: HeldBuffer, planes: Buffer): Buffer {
  const answer = Buffer.from(planes);
  for (let at = 0; at < answer.length; at += plane.size) {
    plane.write(answer, { ...plane.read(planes, at), m: offsetBytes(held.planes[at / plane.size]) }, at);
  }
  return answer;
}

/** What EVT_DQBUF carries: the record as DQBUF returned it, without anything that is an address or a descriptor. */
export function received(
  held: HeldBuffer | undefined,
  host: HostBuffer,
): { buffer: Uint8Array; planes: Uint8Array } {
  const record = buffer.read(host.buffer);
  const planes = Buffer.alloc(VIDEO_MAX_PLANES * plane.size);
  if (host.planes) {
    for (let at = 0; at < Math.min(record.length, VIDEO_MAX_PLANES) * plane.size; at += plane.size) {
      plane.write(planes, { ...plane.read(host.planes, at), m: EMPTY }, at);
    }
  }
  const hidden = HIDDEN_FLAGS | BufferFlag.QUEUED | BufferFlag.DONE;
  const flags = (record.flags & ~hidden) | (held ? mappedFlag(held) : 0);
  return {
    buffer: buffer.encode({ ...record, flags, memory: Memory.MMAP, m: EMPTY, reserved2: 0, requestFd: 0 }),
    planes,
  };
}

/** Moves a frame between the host's buffer and the guest's slot, where the host's queue is not on the slots itself. */
export function copyFrame(
  queue: BufferQueue,
  held: HeldBuffer,
  host: HostBuffer,
  shared: SharedMemory,
): void {
  if (queue.backing !== 'copy') return;
  held.planes.forEach((target, number) => {
    if (!target.slot || !target.host) return;
    const used = host.planes
      ? plane.read(host.planes, number * plane.size).bytesused
      : buffer.read(host.buffer).bytesused;
    const bytes = used === 0 ? target.length : Math.min(used, target.length);
    const slot = shared.memory(target.slot);
    if (queue.isCapture) copyRegion(target.host, 0, slot.region, slot.offset, bytes);
    else copyRegion(slot.region, slot.offset, target.host, 0, bytes);
  });
}

function mappedFlag(held: HeldBuffer): number {
  return held.planes.some(({ slot }) => (slot?.references ?? 0) > 0) ? BufferFlag.MAPPED : 0;
}

function offsetBytes(held: HeldPlane | undefined): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(held?.cookie ?? 0);
  return bytes;
}

const EMPTY = new Uint8Array(0);
