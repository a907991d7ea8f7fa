/**
 * V4L2_MEMORY_USERPTR, which VIRTIO calls SHARED_PAGES: buffers are guest pages. One SG list for each plane follows the
 * records. If the driver takes USERPTR, the bridge joins the pages into one linear mapping, and the hardware writes to
 * the pages. If the driver does not, or if a piece ends inside a page, each frame is copied once.
 *
 * vb2 keeps the pinned pages of a buffer as long as address and length are the same, even if other pages are mapped
 * there now. So the bridge keeps a mapping as long as the guest sends the same list. If the guest sends another list,
 * the bridge makes the new mapping while the old one still exists, so that the two have different addresses.
 */
import { Errno } from '../../errno.js';
import { warnLimited } from '../../log.js';
import type { PlaneMemory } from '../../native.js';
import { failure, isFailure, type Result } from '../../result.js';
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
    if (isFailure(found)) return found;
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

/** The guest pages of each plane. All lists are checked before any page is taken. */
async function readPages(call: BufferCall): Promise<Result<PlanePages[]>> {
  const { session, queue, vb, guest } = call;
  const planes = guestPlanes(queue, vb, guest);
  const total = planes.reduce((sum, { length }) => sum + length, 0);
  const isShort = planes.some(({ length }, number) => length < vb.planes[number]!.length);
  if (isShort || total > session.context.policy.maxBufferBytes) return failure(Errno.EINVAL);
  const lists = await readLists(call, planes);
  if (isFailure(lists)) return lists;
  const found: PlanePages[] = [];
  for (const [number, { m, length }] of planes.entries()) {
    const memory = await pagesOf(session, queue, vb.planes[number]!, lists[number]!);
    if (!isFailure(memory)) found.push({ m, length, memory });
    else {
      for (const [made, pages] of found.entries()) discard(vb.planes[made]!, pages);
      return memory;
    }
  }
  return found;
}

/** The SG list of each plane. EINVAL: a list does not cover its plane. */
async function readLists(
  { session, guest }: BufferCall,
  planes: readonly GuestPlane[],
): Promise<Result<SgList[]>> {
  const { turn } = session.context;
  const lists = new SgLists(guest.rest, turn);
  const found: SgList[] = [];
  while (found.length < planes.length) {
    const list = lists.next(planes[found.length]!.length);
    if (isFailure(list)) return list;
    if (list) found.push(list);
    else await turn.next();
  }
  return found;
}

/** The pages that the plane has, if the list names the same ones; otherwise new ones. */
async function pagesOf(session: Session, { backing }: BufferQueue, plane: VideoPlane, list: SgList) {
  const isZeroCopy = backing === 'pages-userptr';
  const kept = plane.pages?.memory;
  // If the plane has no mapping because there were too many pieces, there may be room for one now.
  const isAsWanted = kept !== undefined && (kept.mapping !== null || !isZeroCopy);
  return isAsWanted && (await isSamePages(session, kept, list)) ? kept : takePages(session, list, isZeroCopy);
}

/** The records for the kernel. QBUF on OUTPUT: also copies the frame from the guest pages if it has to be copied. */
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

/** Releases pages, unless they are the ones that the plane keeps. */
function discard(plane: VideoPlane, pages: PlanePages | null): void {
  if (pages?.memory !== plane.pages?.memory) pages?.memory.release();
}

/** The memory that the driver uses: the linear mapping, or memory of the bridge that is copied. Throws. */
function place(plane: VideoPlane, { memory: { mapping }, length }: PlanePages): PlaneMemory {
  if (mapping) return { region: mapping.linear, offset: 0, length };
  const region = plane.hostMemory(() => privateRegion('virtio-media-copy', plane.length));
  return { region, offset: 0, length: plane.length };
}

/** Copies a frame from the host's memory to the guest pages (CAPTURE) or back (OUTPUT), if the driver needs a copy. */
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

/** A part of a frame: its bytes in the bridge's memory, and its guest address. */
type Visit = (ours: Uint8Array, address: number) => void;

/** Visits the used bytes of each plane that is copied, over several turns. Stops when the session closes. */
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
