/** Which host memory stands behind a guest's MMAP queue, and whether the driver can really do it. */
import { closeSync } from 'node:fs';
import { Errno } from '../errno.js';
import { log } from '../log.js';
import type { NodeCall, PlaneMemory } from '../native.js';
import { Ioctl } from '../v4l2/ioctls.js';
import { buffer, Memory, plane, VIDEO_MAX_PLANES } from '../v4l2/layout.js';
import { MemoryFile } from '../virtio/memory-file.js';
import { hostRecord } from './buffer-record.js';
import {
  type Backing,
  type BufferQueue,
  backings,
  bytesOf,
  type HeldBuffer,
  type HeldPlane,
} from './buffers.js';
import { exportPlane } from './export.js';
import type { Session } from './session.js';

/** The ways to back a guest's queue of this memory type, best first; none: the guest cannot have it. */
export function usableBackings(session: Session, type: number, memory: number): Backing[] {
  const wanted = wishes[memory]?.(session) ?? [];
  return wanted.filter((backing) => session.context.node.traits.get(trait(backing, type)) !== false);
}

/** Whether the guest is offered this memory type at all, whatever the driver can do. */
export function isOffered(session: Session, memory: number): boolean {
  return (wishes[memory]?.(session) ?? []).length > 0;
}

/** By the guest's V4L2_MEMORY_*. What is exported as an object must be a buffer of the host's driver. */
const wishes: Readonly<Record<number, (session: Session) => Backing[]>> = {
  [Memory.MMAP]: ({ context: { shared, objects } }) => {
    if (!shared.usable) return ['unmapped'];
    const direct: Backing[] = shared.prefers === 'direct' ? ['direct'] : [];
    return [...direct, ...(objects ? [] : (['userptr'] as const)), 'copy'];
  },
  [Memory.USERPTR]: ({ context }) => (context.sharedPages ? ['stitched', 'carried'] : []),
  [Memory.DMABUF]: ({ context }) => (context.objects ? ['imported'] : []),
};

/** What is remembered of a driver: whether it takes scattered memory, and whether it exports. */
function trait(backing: Backing, type: number): string {
  const way = backings[backing].host === Memory.USERPTR ? 'userptr' : backing;
  return `${way}:${type}`;
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
  return { sound: errno === 0, dirty: backings[queue.backing].host === Memory.USERPTR };
}

type Probe = (session: Session, queue: BufferQueue, held: HeldBuffer) => Promise<number>;

const probes: Readonly<Partial<Record<Backing, Probe>>> = {
  userptr: (session, queue, held) => {
    const { shared } = session.context;
    return prepare(
      session,
      queue,
      held,
      held.planes.map(({ slot }) => shared.memory(slot!)),
    );
  },
  stitched: async (session, queue, held) => {
    const memory = held.planes.map(({ length }) => new MemoryFile('virtio-media-probe', length));
    const places = memory.map(({ region, size }) => ({ region, offset: 0, length: size }));
    const errno = await prepare(session, queue, held, places);
    for (const file of memory) file.close();
    return errno;
  },
  direct: async (session, queue) => {
    const fd = await exportPlane(session, queue.type, 0, 0);
    if (fd < 0) return -fd;
    closeSync(fd);
    return 0;
  },
};

/** PREPARE_BUF on scattered pages, with each plane full. */
function prepare(
  session: Session,
  queue: BufferQueue,
  held: HeldBuffer,
  memory: readonly PlaneMemory[],
): Promise<number> {
  const record = buffer.encode({ ...blank(queue, held.index), bytesused: held.planes[0]?.length ?? 0 });
  const planes = Buffer.alloc(held.planes.length * plane.size);
  held.planes.forEach(({ length }, number) => {
    const full = { bytesused: length, length, m: NONE, dataOffset: 0, reserved: NONE };
    plane.write(planes, full, number * plane.size);
  });
  const lengths = held.planes.map(({ length }) => length);
  const host = hostRecord(queue, held, { record, planes, rest: NO_REST }, lengths);
  return session.call({ kind: 'buffer', nr: Ioctl.PREPARE_BUF, ...host, memory });
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
    const errno = await session.call({
      kind: 'buffer',
      nr: Ioctl.QUERYBUF,
      buffer: record,
      ...(planes && { planes }),
    });
    if (errno !== 0) return errno;
    // A driver that gives an index twice has made the buffer anew.
    session.forgetBuffer(queue, index);
    const held: HeldBuffer = { index, planes: [], request: 0, prepared: false };
    queue.buffers.set(index, held);
    for (const { length, offset } of hostPlanes(record, planes)) {
      const made = await makePlane(session, queue, length, offset);
      if (typeof made === 'number') return made;
      held.planes.push(made);
    }
    session.cookies.add(queue, held);
  }
  const bytes = bytesOf([...session.queues.values()]);
  const { maxBuffers } = session.context.policy;
  // A driver may make more than it was asked for.
  return bytes > session.allowance || queue.buffers.size > maxBuffers ? Errno.ENOMEM : 0;
}

async function makePlane(
  session: Session,
  queue: BufferQueue,
  length: number,
  offset: number,
): Promise<HeldPlane | number> {
  const { slot: hasSlot, mapped } = backings[queue.backing];
  const none = { slot: null, host: null, pages: null, object: null, exported: null };
  const held: HeldPlane = { length, cookie: session.cookies.take(), ...none };
  if (hasSlot) {
    const { shared } = session.context;
    held.slot = shared.allocate(length);
    if (!held.slot) await shared.cleared();
    held.slot ??= shared.allocate(length);
    if (!held.slot) return Errno.ENOMEM;
  }
  if (!mapped) return held;
  const map: NodeCall & { kind: 'map' } = { kind: 'map', offset, length };
  const errno = await session.call(map);
  held.host = map.region ?? null;
  if (errno === 0 && held.host) return held;
  if (held.slot) session.context.shared.release(held.slot);
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
    memory: backings[queue.backing].host,
    length: queue.isMultiplanar ? VIDEO_MAX_PLANES : 0,
  };
}

const NONE = new Uint8Array(0);
const NO_REST = Buffer.alloc(0);
