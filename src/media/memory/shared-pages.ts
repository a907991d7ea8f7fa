/**
 * V4L2_MEMORY_USERPTR, which VIRTIO calls SHARED_PAGES: buffers are the guest's own pages. One SG list a plane follows the
 * record and its planes. Where the driver takes USERPTR the pages are joined into one linear mapping here, and the hardware
 * writes into them; where it does not, or where pieces end inside a page, a frame is copied once.
 *
 * vb2 keeps its pins of a buffer while address and length stay the same, whatever is mapped there by then. So a mapping
 * stays as long as the list says the same, and the mapping of another list is made while the old one still exists: it
 * cannot have the same address.
 */
import { Errno } from '../../errno.js';
import { warnLimited } from '../../log.js';
import type { PlaneMemory } from '../../native.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { GuestMemoryError } from '../../virtio/guest-memory.js';
import { privateRegion } from '../../virtio/memory-file.js';
import { windowAt } from '../../virtio/region-bytes.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import { bytesUsed, type GuestPlane, guestPlanes, guestRecord, hostRecord } from '../queues/buffer-record.js';
import type { HostBuffer, PlanePages, VideoBuffer, VideoPlane } from '../queues/video-buffer.js';
import type { Session } from '../session.js';
import { isSamePages, takePages } from './guest-pages.js';
import type { Attached, BufferCall, MemoryType } from './memory-type.js';
import { ListCopy, type ListMove, runCopy } from './paced-copy.js';
import { type SgList, SgLists } from './sg-list.js';

export const sharedPages: MemoryType = {
  async attach(call) {
    const { queue, vb, guest, nr } = call;
    if (nr === Ioctl.QUERYBUF) return { host: hostRecord(queue, vb, guest, []) };
    if (vb.isPrepared)
      return attachPages(
        call,
        vb.planes.map(({ pages }) => pages!),
      );
    const found = await readPages(call);
    if (typeof found === 'number') return found;
    return attachPages(call, found).catch((error: unknown) => {
      for (const [number, pages] of found.entries()) discard(vb.planes[number]!, pages);
      throw error;
    });
  },

  restore({ queue, vb, guest }, host) {
    const given = guestPlanes(queue, vb, guest);
    const own = vb.planes.map(({ pages }, number) =>
      pages ? { m: pages.m, length: pages.length } : { m: given[number]!.m },
    );
    return guestRecord(queue, vb, host, guest, own);
  },

  release(session, queue, vb, host) {
    return queue.isCapture ? copyFrame(session, queue, vb.planes, pagesNow(vb), host) : undefined;
  },

  async isSame({ session, queue, vb }, host) {
    if (queue.isCapture) return true;
    let isSame = true;
    await walkFrame(session, vb.planes, pagesNow(vb), host, (ours, address) => {
      const theirs = new Uint8Array(ours.length);
      session.context.memory.copyOut(address, theirs, 0, theirs.length);
      isSame &&= Buffer.compare(ours, theirs) === 0;
    });
    return isSame;
  },
};

/** The pages of each plane. Every list is judged before anything is made of one. */
async function readPages(call: BufferCall): Promise<PlanePages[] | number> {
  const { session, queue, vb, guest } = call;
  const planes = guestPlanes(queue, vb, guest);
  const total = planes.reduce((sum, { length }) => sum + length, 0);
  const isShort = planes.some(({ length }, number) => length < vb.planes[number]!.length);
  if (isShort || total > session.context.policy.maxBufferBytes) return Errno.EINVAL;
  const lists = await readLists(call, planes);
  if (typeof lists === 'number') return lists;
  const found: PlanePages[] = [];
  for (const [number, { m, length }] of planes.entries()) {
    const memory = await pagesOf(session, queue, vb.planes[number]!, lists[number]!);
    if (typeof memory !== 'number') found.push({ m, length, memory });
    else {
      for (const [made, pages] of found.entries()) discard(vb.planes[made]!, pages);
      return memory;
    }
  }
  return found;
}

async function readLists(
  { session, guest }: BufferCall,
  planes: readonly GuestPlane[],
): Promise<SgList[] | number> {
  const { turn } = session.context;
  const lists = new SgLists(guest.rest, turn);
  const found: SgList[] = [];
  while (found.length < planes.length) {
    const list = lists.next(planes[found.length]!.length);
    if (typeof list === 'number') return list;
    if (list) found.push(list);
    else await turn.next();
  }
  return found;
}

/** Those that the plane has, where the list says the same. */
async function pagesOf(session: Session, { backing }: BufferQueue, plane: VideoPlane, list: SgList) {
  const isZeroCopy = backing === 'pages-userptr';
  const kept = plane.pages?.memory;
  // Where there were too many pieces there may be room now.
  const isAsWanted = kept !== undefined && (kept.mapping !== null || !isZeroCopy);
  return isAsWanted && (await isSamePages(session, kept, list)) ? kept : takePages(session, list, isZeroCopy);
}

async function attachPages(call: BufferCall, pages: readonly PlanePages[]): Promise<Attached> {
  const { session, queue, vb, guest, nr } = call;
  const memory =
    queue.backing === 'pages-userptr' ? pages.map((each, number) => place(vb.planes[number]!, each)) : null;
  const lengths = memory?.map(({ length }) => length) ?? vb.planes.map(({ length }) => length);
  const host = { ...hostRecord(queue, vb, guest, lengths), ...(memory && { memory }) };
  if (nr === Ioctl.QBUF && !queue.isCapture) await copyFrame(session, queue, vb.planes, pages, host);
  const settle = (errno: number): void => {
    for (const [number, plane] of vb.planes.entries()) {
      const [before, now] = [plane.pages, pages[number]!];
      if (errno === 0) plane.attachPages(now);
      discard(plane, errno === 0 ? before : now);
    }
    if (errno === 0) vb.prepare(nr === Ioctl.PREPARE_BUF);
  };
  return { host, settle };
}

const pagesNow = ({ planes }: VideoBuffer) => planes.map(({ pages }) => pages);

/** Lets go of pages that the plane does not keep. */
function discard(plane: VideoPlane, pages: PlanePages | null): void {
  if (pages?.memory !== plane.pages?.memory) pages?.memory.release();
}

/** What the driver writes to: the guest's pages, or memory of ours of the same size that is copied. */
function place(plane: VideoPlane, { memory: { mapping }, length }: PlanePages): PlaneMemory {
  if (mapping) return { region: mapping.linear, offset: 0, length };
  const region = plane.hostMemory(() => privateRegion('virtio-media-copy', plane.length));
  return { region, offset: 0, length: plane.length };
}

/** Moves a frame between the host's memory and the guest's pages, where they are not the same. */
function copyFrame(
  session: Session,
  { isCapture }: BufferQueue,
  planes: readonly VideoPlane[],
  pages: readonly (PlanePages | null)[],
  host: HostBuffer,
): Promise<void> {
  const { memory } = session.context;
  return walkFrame(session, planes, pages, host, (ours, address) => {
    if (isCapture) memory.copyIn(address, ours, 0, ours.length);
    else memory.copyOut(address, ours, 0, ours.length);
  });
}

/** A part of a frame: in our memory, and where it is in the guest's. */
type Visit = (ours: Uint8Array, address: number) => void;

async function walkFrame(
  session: Session,
  planes: readonly VideoPlane[],
  pages: readonly (PlanePages | null)[],
  host: HostBuffer,
  visit: Visit,
): Promise<void> {
  const isOff = (): boolean => session.closing;
  for (const [number, { host: region, length }] of planes.entries()) {
    const own = pages[number];
    if (!region || !own || own.memory.mapping) continue;
    const used = Math.min(bytesUsed(host, number) || length, length);
    const move: ListMove = (address, at, bytes) => visit(windowAt(region, at, bytes), address);
    const copy = new ListCopy(move).begin(own.memory.list, used);
    await runCopy(session.context.turn, copy, isOff).catch((error: unknown) => {
      if (!(error instanceof GuestMemoryError)) throw error;
      const fields = { session: session.id };
      warnLimited('shared-pages', 'pages of a buffer are not in guest memory any more', fields);
    });
  }
}
