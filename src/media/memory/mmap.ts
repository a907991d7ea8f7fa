/**
 * V4L2_MEMORY_MMAP: buffers that the host provides and the guest maps. On the host's side the queue is MMAP or,
 * where the arena allows zero copy, USERPTR. Nothing follows the record.
 */
import { Ioctl } from '../../v4l2/ioctls.js';
import { copyRegion } from '../../virtio/window.js';
import { bytesUsed, guestRecord, type HostBuffer, hostRecord } from '../buffer-record.js';
import type { BufferQueue, HeldBuffer, HeldPlane } from '../buffers.js';
import type { MemoryType } from '../memory-type.js';
import type { SharedMemory } from '../shared-memory.js';

export const mmap: MemoryType = {
  attach({ session, queue, held, guest, nr }) {
    const { shared } = session.context;
    const lengths = held.planes.map(({ length }) => length);
    const host = hostRecord(queue, held, guest, lengths);
    if (nr === Ioctl.QBUF && !queue.isCapture) copyFrame(queue, held, host, shared);
    if (queue.backing !== 'userptr') return { host };
    return { host: { ...host, memory: held.planes.map(({ slot }) => shared.memory(slot!)) } };
  },

  restore({ queue, held, guest }, host) {
    const own = held.planes.map((plane) => ({ m: offsetBytes(plane) }));
    return guestRecord(queue, held, host, guest, own);
  },

  release(session, queue, held, host) {
    if (queue.isCapture) copyFrame(queue, held, host, session.context.shared);
  },
};

/** Moves a frame between the host's buffer and the guest's slot, where the host's queue is not on the slots itself. */
function copyFrame(queue: BufferQueue, held: HeldBuffer, host: HostBuffer, shared: SharedMemory): void {
  if (queue.backing !== 'copy') return;
  held.planes.forEach((target, number) => {
    if (!target.slot || !target.host) return;
    const bytes = Math.min(bytesUsed(host, number) || target.length, target.length);
    const slot = shared.memory(target.slot);
    if (queue.isCapture) copyRegion(target.host, 0, slot.region, slot.offset, bytes);
    else copyRegion(slot.region, slot.offset, target.host, 0, bytes);
  });
}

function offsetBytes({ cookie }: HeldPlane): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(cookie);
  return bytes;
}
