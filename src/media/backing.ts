/** Which host memory stands behind a guest's MMAP queue, and whether the driver can really do it. */
import { closeSync } from 'node:fs';
import { Errno } from '../errno.js';
import { log } from '../log.js';
import type { NodeCall } from '../native.js';
import { Ioctl } from '../v4l2/ioctls.js';
import { buffer, exportBuffer, plane, VIDEO_MAX_PLANES } from '../v4l2/layout.js';
import type { Backing, BufferQueue, HeldBuffer, HeldPlane } from './buffers.js';
import { attach, hostMemory } from './memory/mmap.js';
import { MAX_SESSION_BYTES } from './policy.js';
import type { Session } from './session.js';

/** The backings to try, best first. */
export function backings(session: Session, type: number): Backing[] {
  const { shared, node } = session.context;
  if (!shared.usable) return ['unmapped'];
  const wanted: Backing[] = shared.prefers === 'direct' ? ['direct', 'userptr', 'copy'] : ['userptr', 'copy'];
  return wanted.filter((backing) => node.traits.get(trait(backing, type)) !== false);
}

function trait(backing: Backing, type: number): string {
  return `${backing}:${type}`;
}

/** Remembers for all sessions that this driver cannot back a queue of this type so. */
export function ruleOut(session: Session, backing: Backing, type: number): void {
  const { node } = session.context;
  log.info('buffers of this node are backed another way', { node: node.path, type, not: backing });
  node.traits.set(trait(backing, type), false);
}

/**
 * Tries the first buffer of a new queue once per node and type. Some drivers take USERPTR queues and refuse scattered
 * memory at the first buffer (EFAULT), some have no EXPBUF (ENOTTY). True: sound; the probe leaves a prepared buffer
 * behind where `dirty`, and the queue must be requested again.
 */
export async function isSound(
  session: Session,
  queue: BufferQueue,
): Promise<{ sound: boolean; dirty: boolean }> {
  const { node } = session.context;
  const key = trait(queue.backing, queue.type);
  const probe = probes[queue.backing];
  const held = queue.buffers.get(0);
  if (!probe || !held || node.traits.has(key)) return { sound: true, dirty: false };
  const errno = await probe(session, queue, held);
  if (errno === 0) node.traits.set(key, true);
  return { sound: errno === 0, dirty: queue.backing === 'userptr' };
}

const probes: Readonly<
  Partial<Record<Backing, (s: Session, q: BufferQueue, h: HeldBuffer) => Promise<number>>>
> = {
  userptr: async (session, queue, held) => {
    const record = buffer.encode({
      ...blank(queue, held.index),
      bytesused: held.planes[0]?.length ?? 0,
      length: held.planes.length,
    });
    const planes = Buffer.alloc(held.planes.length * plane.size);
    held.planes.forEach(({ length }, number) => {
      plane.write(
        planes,
        { bytesused: length, length, m: NONE, dataOffset: 0, reserved: NONE },
        number * plane.size,
      );
    });
    const host = attach(queue, held, record, planes, session.context.shared);
    return session.call({ kind: 'buffer', nr: Ioctl.PREPARE_BUF, ...host }, 'slow');
  },
  direct: async (session, queue) => {
    const fd = await exportPlane(session, queue.type, 0, 0);
    if (fd < 0) return -fd;
    closeSync(fd);
    return 0;
  },
};

/** EXPBUF: a DMABUF of one plane, or -errno. Never cached: the kernel's answer is the permission check. */
export async function exportPlane(
  session: Session,
  type: number,
  index: number,
  number: number,
): Promise<number> {
  const O_RDWR_CLOEXEC = 0o2000002;
  const record = exportBuffer.encode({
    type,
    index,
    plane: number,
    flags: O_RDWR_CLOEXEC,
    fd: 0,
    reserved: NONE,
  });
  const errno = await session.ioctl(Ioctl.EXPBUF, record);
  return errno === 0 ? exportBuffer.read(record).fd : -errno;
}

/** Takes buffers `from` to `from + count - 1`, which the kernel has just made, into the queue. Resolves to an errno. */
export async function hold(
  session: Session,
  queue: BufferQueue,
  from: number,
  count: number,
): Promise<number> {
  for (let index = from; index < from + count; index++) {
    const record = buffer.encode(blank(queue, index));
    const planes = queue.isMultiplanar ? Buffer.alloc(VIDEO_MAX_PLANES * plane.size) : undefined;
    const errno = await session.call(
      { kind: 'buffer', nr: Ioctl.QUERYBUF, buffer: record, ...(planes && { planes }) },
      'fast',
    );
    if (errno !== 0) return errno;
    const held: HeldBuffer = { index, planes: [] };
    queue.buffers.set(index, held);
    for (const { length, offset } of hostPlanes(record, planes)) {
      const made = await makePlane(session, queue, length, offset);
      if (typeof made === 'number') return made;
      held.planes.push(made);
    }
    session.cookies.add(queue, held);
  }
  const bytes = [...session.queues.values()].reduce((sum, each) => sum + each.bytes, 0);
  return bytes > MAX_SESSION_BYTES ? Errno.ENOMEM : 0;
}

async function makePlane(
  session: Session,
  queue: BufferQueue,
  length: number,
  offset: number,
): Promise<HeldPlane | number> {
  const cookie = session.cookies.take();
  if (queue.backing === 'direct' || queue.backing === 'unmapped')
    return { length, cookie, slot: null, host: null };
  const slot = session.context.shared.allocate(length);
  if (!slot) return Errno.ENOMEM;
  if (queue.backing === 'userptr') return { length, cookie, slot, host: null };
  const map: NodeCall & { kind: 'map' } = { kind: 'map', offset, length };
  const errno = await session.call(map, 'slow');
  if (errno === 0 && map.region) return { length, cookie, slot, host: map.region };
  session.context.shared.release(slot);
  return errno;
}

function hostPlanes(record: Buffer, planes: Buffer | undefined): { length: number; offset: number }[] {
  const { length, m } = buffer.read(record);
  if (!planes) return [{ length, offset: Buffer.from(m).readUInt32LE(0) }];
  return Array.from({ length: Math.min(length, VIDEO_MAX_PLANES) }, (_, number) => {
    const each = plane.read(planes, number * plane.size);
    return { length: each.length, offset: Buffer.from(each.m).readUInt32LE(0) };
  });
}

function blank(queue: BufferQueue, index: number) {
  return {
    ...buffer.read(Buffer.alloc(buffer.size)),
    index,
    type: queue.type,
    memory: hostMemory(queue.backing),
    length: queue.isMultiplanar ? VIDEO_MAX_PLANES : 0,
  };
}

const NONE = new Uint8Array(0);
