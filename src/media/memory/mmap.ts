/**
 * V4L2_MEMORY_MMAP: buffers that the host provides and the guest maps. On the host's side the queue is MMAP or,
 * where the arena allows zero copy, USERPTR. Nothing follows the record.
 */

import type { Region } from '../../native.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { copyRegion, windowAt } from '../../virtio/region-bytes.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import { bytesUsed, guestRecord, hostRecord } from '../queues/buffer-record.js';
import type { HostBuffer, VideoBuffer, VideoPlane } from '../queues/video-buffer.js';
import type { Session } from '../session.js';
import type { MemoryType } from './memory-type.js';
import { FlatCopy, runCopy } from './paced-copy.js';

export const mmap: MemoryType = {
  attach({ session, queue, vb, guest, nr }) {
    const { shared } = session.context;
    const lengths = vb.planes.map(({ length }) => length);
    const host = hostRecord(queue, vb, guest, lengths);
    if (queue.backing === 'userptr')
      return { host: { ...host, memory: vb.planes.map(({ slot }) => shared.memory(slot!)) } };
    if (queue.backing !== 'copy' || queue.isCapture || nr !== Ioctl.QBUF) return { host };
    return copyFrame(session, queue, vb, host).then(() => ({ host }));
  },

  restore({ queue, vb, guest }, host) {
    const own = vb.planes.map((plane) => ({ m: offsetBytes(plane) }));
    return guestRecord(queue, vb, host, guest, own);
  },

  release(session, queue, vb, host) {
    return queue.backing === 'copy' && queue.isCapture ? copyFrame(session, queue, vb, host) : undefined;
  },

  async isSame({ session, queue, vb }, host) {
    if (queue.backing !== 'copy' || queue.isCapture) return true;
    let isSame = true;
    await walkFrame(session, vb, host, (region, at, place, from, bytes) => {
      isSame &&= Buffer.compare(windowAt(region, at, bytes), windowAt(place, from, bytes)) === 0;
    });
    return isSame;
  },
};

/** Moves a frame between the host's buffer and the guest's slot, where the host's queue is not on the slots itself. */
function copyFrame(
  session: Session,
  { isCapture }: BufferQueue,
  vb: VideoBuffer,
  host: HostBuffer,
): Promise<void> {
  return walkFrame(session, vb, host, (region, at, place, from, bytes) => {
    if (isCapture) copyRegion(region, at, place, from, bytes);
    else copyRegion(place, from, region, at, bytes);
  });
}

/** A part of a frame: in the host's buffer, and in the guest's slot. */
type Visit = (region: Region, at: number, place: Region, from: number, bytes: number) => void;

async function walkFrame(session: Session, vb: VideoBuffer, host: HostBuffer, visit: Visit): Promise<void> {
  const { shared, turn } = session.context;
  for (const [number, { host: region, slot, length }] of vb.planes.entries()) {
    if (!slot || !region) continue;
    const used = Math.min(bytesUsed(host, number) || length, length);
    const move = (at: number, bytes: number): void => {
      const place = shared.memory(slot);
      visit(region, at, place.region, place.offset + at, bytes);
    };
    await runCopy(turn, new FlatCopy(used, move), () => session.closing);
  }
}

function offsetBytes({ mmapOffset }: VideoPlane): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(mmapOffset);
  return bytes;
}
