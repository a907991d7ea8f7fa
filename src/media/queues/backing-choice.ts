/** Which host memory stands behind a guest's MMAP queue, and whether the driver can really do it. */
import { closeSync } from 'node:fs';
import { Errno, errnoName } from '../../errno.js';
import { log } from '../../log.js';
import type { NodeCall, PlaneMemory } from '../../native.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { buffer, Memory, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import { isLasting } from '../../v4l2/refusal.js';
import { MemoryFile } from '../../virtio/memory-file.js';
import { exportPlane } from '../ioctls/expbuf.js';
import type { SharedMemorySlot } from '../memory/shared-memory.js';
import type { Session } from '../session.js';
import { type Backing, backings } from './backings.js';
import { type BufferQueue, bytesOf } from './buffer-queue.js';
import { hostRecord } from './buffer-record.js';
import { VideoBuffer, VideoPlane } from './video-buffer.js';

/** The ways to back a guest's queue of this memory type, best first; none: the guest cannot have it. */
export function usableBackings(session: Session, type: number, memory: number): Backing[] {
  const wanted = candidates[memory]?.(session) ?? [];
  return wanted.filter((backing) => session.context.node.traits.get(trait(backing, type)) !== false);
}

/** Whether the guest is offered this memory type at all, whatever the driver can do. */
export function isOffered(session: Session, memory: number): boolean {
  return (candidates[memory]?.(session) ?? []).length > 0;
}

/** By the guest's V4L2_MEMORY_*. What is exported as an object must be a buffer of the host's driver. */
const candidates: Readonly<Record<number, (session: Session) => Backing[]>> = {
  [Memory.MMAP]: ({ context: { shared, objects } }) => {
    if (!shared.usable) return ['unmapped'];
    const direct: Backing[] = shared.prefers === 'direct' ? ['direct'] : [];
    return [...direct, ...(objects ? [] : (['userptr'] as const)), 'copy'];
  },
  [Memory.USERPTR]: ({ context }) => (context.sharedPages ? ['pages-userptr', 'pages-copy'] : []),
  [Memory.DMABUF]: ({ context }) => (context.objects ? ['imported'] : []),
};

/** What is remembered of a driver: whether it takes scattered memory, and whether it exports. */
function trait(backing: Backing, type: number): string {
  const way = backings[backing].host === Memory.USERPTR ? 'userptr' : backing;
  return `${way}:${type}`;
}

/**
 * What came of the first buffer of a new queue. `again`: the driver takes it, and the trial has left a prepared buffer behind:
 * the queue is to be requested once more. `other`: to be backed another way. An errno: in no way at all.
 */
export type Trial = 'sound' | 'again' | 'other' | number;

/**
 * Tries the first buffer of a new queue once per node and type. Some drivers take USERPTR queues and refuse scattered
 * memory at the first buffer (EFAULT), some have no EXPBUF (ENOTTY): that is remembered for all sessions. Where there was too
 * little of something for a moment (ENOMEM, EMFILE), this queue alone is backed another way, and the next one tries again.
 */
export async function tryOut(session: Session, queue: BufferQueue): Promise<Trial> {
  const { node } = session.context;
  const key = trait(queue.backing, queue.type);
  const probe = probes[queue.backing];
  const vb = queue.buffers.get(0);
  if (!probe || !vb || node.traits.has(key)) return 'sound';
  const errno = await probe(session, queue, vb);
  if (session.gone) return Errno.ENODEV;
  const scattered = backings[queue.backing].host === Memory.USERPTR;
  if (errno !== 0) {
    const rulesOut = isLasting(errno) || (scattered && errno === Errno.EFAULT);
    const fields = { node: node.path, type: queue.type, not: queue.backing, error: errnoName(errno) };
    log.info(rulesOut ? RULED_OUT : 'buffers of a session are backed another way', fields);
    if (rulesOut) node.traits.set(key, false);
    return 'other';
  }
  node.traits.set(key, true);
  return scattered ? 'again' : 'sound';
}

const RULED_OUT = 'buffers of this node are backed another way';

type Probe = (session: Session, queue: BufferQueue, vb: VideoBuffer) => Promise<number>;

const probes: Readonly<Partial<Record<Backing, Probe>>> = {
  userptr: (session, queue, vb) => {
    const { shared } = session.context;
    return withMemory(
      () => vb.planes.map(({ slot }) => shared.memory(slot!)),
      (memory) => prepare(session, queue, vb, memory),
    );
  },
  'pages-userptr': async (session, queue, vb) => {
    const files: MemoryFile[] = [];
    const make = () =>
      vb.planes.map(({ length }) => {
        const file = new MemoryFile('virtio-media-probe', length);
        files.push(file);
        return { region: file.region, offset: 0, length };
      });
    return withMemory(make, (memory) => prepare(session, queue, vb, memory)).finally(() => {
      for (const file of files) file.close();
    });
  },
  direct: async (session, queue) => {
    const fd = await exportPlane(session, queue.type, 0, 0);
    if (fd < 0) return -fd;
    closeSync(fd);
    return 0;
  },
};

/** Memory that the host has not says nothing of the driver. */
async function withMemory(
  make: () => PlaneMemory[],
  run: (memory: PlaneMemory[]) => Promise<number>,
): Promise<number> {
  try {
    return await run(make());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).errno === undefined) throw error;
    return Errno.ENOMEM;
  }
}

/** PREPARE_BUF on scattered pages, with each plane full. */
function prepare(
  session: Session,
  queue: BufferQueue,
  vb: VideoBuffer,
  memory: readonly PlaneMemory[],
): Promise<number> {
  const record = buffer.encode({ ...blank(queue, vb.index), bytesused: vb.planes[0]?.length ?? 0 });
  const planes = Buffer.alloc(vb.planes.length * plane.size);
  vb.planes.forEach(({ length }, number) => {
    const full = { bytesused: length, length, m: NONE, dataOffset: 0, reserved: NONE };
    plane.write(planes, full, number * plane.size);
  });
  const lengths = vb.planes.map(({ length }) => length);
  const host = hostRecord(queue, vb, { record, planes, rest: NO_REST }, lengths);
  return session.call({ kind: 'buffer', nr: Ioctl.PREPARE_BUF, ...host, memory });
}

/** Takes buffers `from` to `from + count - 1`, which the kernel has just made, into the queue. Resolves to an errno. */
export async function adoptBuffers(
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
    const vb = new VideoBuffer(index);
    queue.add(vb);
    for (const { length, offset } of hostPlanes(record, planes)) {
      const made = await makePlane(session, queue, length, offset);
      if (typeof made === 'number') return made;
      vb.planes.push(made);
    }
    session.mmapOffsets.add(queue, vb);
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
): Promise<VideoPlane | number> {
  const { slot: hasSlot, mapped } = backings[queue.backing];
  const { shared } = session.context;
  let slot: SharedMemorySlot | null = null;
  if (hasSlot) {
    slot = shared.allocate(length);
    if (!slot) await shared.cleared();
    slot ??= shared.allocate(length);
    if (!slot) return Errno.ENOMEM;
  }
  const mmapOffset = session.mmapOffsets.take();
  if (!mapped) return new VideoPlane(length, mmapOffset, { slot });
  const map: NodeCall & { kind: 'map' } = { kind: 'map', offset, length };
  const errno = await session.call(map);
  if (errno === 0 && map.region) return new VideoPlane(length, mmapOffset, { slot, host: map.region });
  if (slot) shared.release(slot);
  return errno || Errno.EIO;
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
