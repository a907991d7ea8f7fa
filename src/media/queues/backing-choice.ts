/** Chooses the backing of a guest's queue, and tries on the first buffer whether the driver can really do it. */
import { closeSync } from 'node:fs';
import { Errno, errnoName } from '../../errno.js';
import { log } from '../../log.js';
import type { PlaneMemory } from '../../native.js';
import { failure, isFailure, type Result } from '../../result.js';
import { NONE } from '../../struct.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { buffer, Memory, plane } from '../../v4l2/layout.js';
import { isLasting } from '../../v4l2/refusal.js';
import { MemoryFile } from '../../virtio/memory-file.js';
import { exportPlane } from '../ioctls/expbuf.js';
import type { Session } from '../session.js';
import { type Backing, backings } from './backings.js';
import type { BufferQueue } from './buffer-queue.js';
import { emptyRecord, hostRecord } from './buffer-record.js';
import type { VideoBuffer } from './video-buffer.js';

/**
 * Backings for a guest's queue, best first, without those that the driver is known to refuse. `type`: V4L2_BUF_TYPE_*;
 * `memory`: V4L2_MEMORY_* of the guest. Empty: the guest cannot have this memory type.
 */
export function usableBackings(session: Session, type: number, memory: number): Backing[] {
  const wanted = candidates[memory]?.(session) ?? [];
  return wanted.filter((backing) => session.context.node.traits.get(trait(backing, type)) !== false);
}

/** Whether the device offers this memory type (V4L2_MEMORY_* of the guest), whatever the driver can do. */
export function isOffered(session: Session, memory: number): boolean {
  return (candidates[memory]?.(session) ?? []).length > 0;
}

/**
 * Candidates by V4L2_MEMORY_* of the guest, best first. With objects there is no `userptr`: EXPBUF needs a buffer that
 * the host's driver allocated.
 */
const candidates: Readonly<Record<number, (session: Session) => Backing[]>> = {
  [Memory.MMAP]: ({ context: { shared, objects } }) => {
    if (!shared.usable) return ['unmapped'];
    const direct: Backing[] = shared.prefers === 'direct' ? ['direct'] : [];
    return [...direct, ...(objects ? [] : (['userptr'] as const)), 'copy'];
  },
  [Memory.USERPTR]: ({ context }) => (context.sharedPages ? ['pages-userptr', 'pages-copy'] : []),
  [Memory.DMABUF]: ({ context }) => (context.objects ? ['imported'] : []),
};

/** Key in `node.traits`: whether the driver takes scattered memory (`userptr`), or whether it has EXPBUF (`direct`). */
function trait(backing: Backing, type: number): string {
  const way = backings[backing].host === Memory.USERPTR ? 'userptr' : backing;
  return `${way}:${type}`;
}

/**
 * Result of the probe of a new queue.
 * - sound: the queue can be used as it is.
 * - again: the driver takes the memory, but the probe left a prepared buffer. The caller makes the queue once more.
 * - other: the driver cannot do this backing. The caller tries the next one.
 */
export type Trial = 'sound' | 'again' | 'other';

/**
 * Probes the first buffer of a new queue, once for each node and buffer type. Some drivers take a USERPTR queue but
 * refuse scattered memory at the first buffer (EFAULT), and some have no EXPBUF (ENOTTY). The bridge remembers both for
 * all sessions. If the host was only short of something for a moment (ENOMEM, EMFILE), only this queue gets another
 * backing, and the next queue is probed again. ENODEV: the node is unplugged, so no backing can help.
 */
export async function tryOut(session: Session, queue: BufferQueue): Promise<Result<Trial>> {
  const { node } = session.context;
  const key = trait(queue.backing, queue.type);
  const probe = probes[queue.backing];
  const vb = queue.buffers.get(0);
  if (!probe || !vb || node.traits.has(key)) return 'sound';
  const errno = await probe(session, queue, vb);
  if (session.gone) return failure(Errno.ENODEV);
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

/** Resolves to an errno; 0: the driver takes the memory. */
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
    if (isFailure(fd)) return fd.errno;
    closeSync(fd);
    return 0;
  },
};

/** If the host cannot make the memory for a probe, resolves to ENOMEM, which says nothing about the driver. */
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

/** PREPARE_BUF on `memory`, with every byte of each plane used. Resolves to an errno. */
function prepare(
  session: Session,
  queue: BufferQueue,
  vb: VideoBuffer,
  memory: readonly PlaneMemory[],
): Promise<number> {
  const empty = buffer.read(emptyRecord(queue, vb.index).buffer);
  const record = buffer.encode({ ...empty, bytesused: vb.planes[0]?.length ?? 0 });
  const planes = Buffer.alloc(vb.planes.length * plane.size);
  vb.planes.forEach(({ length }, number) => {
    const full = { bytesused: length, length, m: NONE, dataOffset: 0, reserved: NONE };
    plane.write(planes, full, number * plane.size);
  });
  const lengths = vb.planes.map(({ length }) => length);
  const host = hostRecord(queue, vb, { record, planes, rest: NONE }, lengths);
  return session.call({ kind: 'buffer', nr: Ioctl.PREPARE_BUF, ...host, memory });
}
