/** Adoption: buffers that the kernel has just made get their places and become the queue's. */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { failure, isFailure, type Result } from '../../result.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { buffer, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import type { SharedMemory, SharedMemorySlot } from '../memory/shared-memory.js';
import type { Session } from '../session.js';
import { backings } from './backings.js';
import { type BufferQueue, bytesOf } from './buffer-queue.js';
import { emptyRecord } from './buffer-record.js';
import { partOf } from './room.js';
import { type HostBuffer, VideoBuffer, VideoPlane } from './video-buffer.js';

/**
 * The first `count` buffers are the queue's. `errno`: why the next one is not. 0: there is no next one; ENOMEM: there is
 * no room for it in SHM region 0, in the host's memory or within the limits of the policy.
 */
export interface Adoption {
  readonly errno: number;
  readonly count: number;
}

/** Adds buffers `from` to `from + count - 1`, which the kernel has just made, to the queue: as many as have room. */
export async function adoptBuffers(
  session: Session,
  queue: BufferQueue,
  from: number,
  count: number,
): Promise<Adoption> {
  for (let adopted = 0; adopted < count; adopted++) {
    const errno = await adoptBuffer(session, queue, from + adopted);
    session.context.shared.promised.redeem(session);
    if (errno === 0) continue;
    session.forgetBuffer(queue, from + adopted);
    return { errno, count: adopted };
  }
  return { errno: 0, count };
}

async function adoptBuffer(session: Session, queue: BufferQueue, index: number): Promise<number> {
  const host = emptyRecord(queue, index);
  const errno = await session.call({ kind: 'buffer', nr: Ioctl.QUERYBUF, ...host });
  if (errno !== 0) return errno;
  // If a driver returns an index twice, it has made that buffer again.
  session.forgetBuffer(queue, index);
  const vb = new VideoBuffer(index);
  queue.add(vb);
  for (const { length, offset } of hostPlanes(host)) {
    const made = await makePlane(session, queue, length, offset);
    if (isFailure(made)) return made.errno;
    vb.planes.push(made);
  }
  session.mmapOffsets.add(queue, vb);
  const bytes = bytesOf([...session.queues.values()]);
  const { maxBuffers } = session.context.policy;
  return bytes > session.allowance || queue.buffers.size > maxBuffers ? Errno.ENOMEM : 0;
}

/** `length` and `offset` (the host's mmap offset): bytes. ENOMEM: SHM region 0 is full. */
async function makePlane(
  session: Session,
  queue: BufferQueue,
  length: number,
  offset: number,
): Promise<Result<VideoPlane>> {
  const { shared } = session.context;
  const part = partOf(session, queue.backing);
  const slot = part && (await takeSlot(shared, length, part));
  if (isFailure(slot)) return slot;
  const mmapOffset = session.mmapOffsets.take();
  if (!backings[queue.backing].mapped) return new VideoPlane(length, mmapOffset, { slot });
  const map: NodeCall & { kind: 'map' } = { kind: 'map', offset, length };
  const errno = await session.call(map);
  if (errno === 0 && map.region) return new VideoPlane(length, mmapOffset, { slot, host: map.region });
  if (slot) shared.release(slot);
  return failure(errno || Errno.EIO);
}

/** If `part` is full, waits once for the slots that are being zeroed or unmapped. ENOMEM: it is still full. */
async function takeSlot(
  shared: SharedMemory,
  length: number,
  part: SharedMemorySlot['backing'],
): Promise<Result<SharedMemorySlot>> {
  const slot = shared.allocate(length, part);
  if (!isFailure(slot)) return slot;
  await shared.vacated(part);
  return shared.allocate(length, part);
}

/** Bytes and host mmap offset (bytes) of each plane, from what QUERYBUF returned. */
function hostPlanes(host: HostBuffer): { length: number; offset: number }[] {
  const { length, m } = buffer.read(host.buffer);
  const { planes } = host;
  if (!planes) return [{ length, offset: Buffer.from(m).readUInt32LE(0) }];
  return Array.from({ length: Math.min(length, VIDEO_MAX_PLANES) }, (_, number) => {
    const each = plane.read(planes, number * plane.size);
    return { length: each.length, offset: Buffer.from(each.m).readUInt32LE(0) };
  });
}
