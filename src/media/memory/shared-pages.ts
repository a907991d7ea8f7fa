/**
 * V4L2_MEMORY_USERPTR, which VIRTIO calls SHARED_PAGES: buffers are the guest's own pages. One SG list a plane follows the
 * record and its planes. Where the driver takes USERPTR the pages are stitched into one mapping here, and the hardware
 * writes into them; where it does not, or where pieces end inside a page, a frame is copied once.
 *
 * vb2 keeps its pins of a buffer while address and length stay the same, whatever is mapped there by then. So a mapping
 * stays as long as the list says the same, and the mapping of another list is made while the old one still exists: it
 * cannot have the same address.
 */
import { Errno } from '../../errno.js';
import { warnLimited } from '../../log.js';
import type { PlaneMemory, RegionPiece } from '../../native.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { privateRegion } from '../../virtio/memory-file.js';
import { copyPieces } from '../../virtio/window.js';
import {
  bytesUsed,
  type GuestPlane,
  guestPlanes,
  guestRecord,
  type HostBuffer,
  hostRecord,
} from '../buffer-record.js';
import type { BufferQueue, HeldBuffer, HeldPages, HeldPlane } from '../buffers.js';
import type { Attached, BufferCall, MemoryType } from '../memory-type.js';
import type { Session, SessionContext } from '../session.js';
import { locate, type Piece, SgLists } from '../sg-list.js';
import { isSame } from '../stitches.js';

export const sharedPages: MemoryType = {
  attach(call) {
    const { queue, held, guest, nr } = call;
    if (nr === Ioctl.QUERYBUF) return { host: hostRecord(queue, held, guest, []) };
    if (held.prepared)
      return attachPages(
        call,
        held.planes.map(({ pages }) => pages!),
      );
    const found = readPages(call);
    return typeof found === 'number' ? found : attachPages(call, found);
  },

  restore({ queue, held, guest }, host) {
    const given = guestPlanes(queue, held, guest);
    const own = held.planes.map(({ pages }, number) =>
      pages ? { m: pages.m, length: pages.length } : { m: given[number]!.m },
    );
    return guestRecord(queue, held, host, guest, own);
  },

  release(session, queue, held, host) {
    if (queue.isCapture) copyFrame(session, queue, held, host);
  },
};

/** The SG list of each plane, bounded and located before anything is allocated. */
function readPages({ session, queue, held, guest }: BufferCall): HeldPages[] | number {
  const planes = guestPlanes(queue, held, guest);
  const total = planes.reduce((sum, { length }) => sum + length, 0);
  if (total > session.context.policy.maxBufferBytes) return Errno.EINVAL;
  const lists = new SgLists(guest.rest);
  const found: HeldPages[] = [];
  for (const [number, given] of planes.entries()) {
    if (given.length < held.planes[number]!.length) return Errno.EINVAL;
    const pieces = lists.next(given.length);
    if (typeof pieces === 'number') return pieces;
    const pages = pagesOf(session.context, queue, held.planes[number]!, given, pieces);
    if (typeof pages !== 'number') found.push(pages);
    else {
      for (const [made, each] of found.entries()) discard(held.planes[made]!, each);
      return pages;
    }
  }
  return found;
}

function pagesOf(
  { memory, stitches }: SessionContext,
  queue: BufferQueue,
  plane: HeldPlane,
  { m, length }: GuestPlane,
  pieces: readonly Piece[],
): HeldPages | number {
  const places = locate(memory, pieces);
  if (typeof places === 'number') return places;
  if (queue.backing !== 'stitched') return { m, length, pieces, stitched: null };
  const kept = plane.pages?.stitched;
  const stitched = kept && isSame(kept.places, places) ? kept : stitches.make(places);
  return { m, length, pieces, stitched };
}

function attachPages(call: BufferCall, pages: readonly HeldPages[]): Attached | number {
  const { session, queue, held, guest, nr } = call;
  const memory =
    queue.backing === 'stitched' ? pages.map((each, number) => place(held.planes[number]!, each)) : null;
  const lengths = memory?.map(({ length }) => length) ?? held.planes.map(({ length }) => length);
  const host = { ...hostRecord(queue, held, guest, lengths), ...(memory && { memory }) };
  if (nr === Ioctl.QBUF && !queue.isCapture)
    copyFrame(session, queue, { ...held, planes: withPages(held, pages) }, host);
  const settle = (errno: number): void => {
    for (const [number, plane] of held.planes.entries()) {
      const [before, now] = [plane.pages, pages[number]!];
      if (errno === 0) plane.pages = now;
      discard(plane, errno === 0 ? before : now);
    }
    if (errno === 0) held.prepared = nr === Ioctl.PREPARE_BUF;
  };
  return { host, settle };
}

const withPages = ({ planes }: HeldBuffer, pages: readonly HeldPages[]): HeldPlane[] =>
  planes.map((plane, number) => ({ ...plane, pages: pages[number]! }));

/** Closes the mapping of pages that the plane does not keep. */
function discard(plane: HeldPlane, pages: HeldPages | null): void {
  if (pages?.stitched !== plane.pages?.stitched) pages?.stitched?.close();
}

/** What the driver writes to: the guest's pages, or memory of ours of the same size that is copied. */
function place(plane: HeldPlane, { stitched, length }: HeldPages): PlaneMemory {
  if (stitched) return { region: stitched.mapping, offset: 0, length };
  plane.host ??= privateRegion('virtio-media-carried', plane.length);
  return { region: plane.host, offset: 0, length: plane.length };
}

/** Moves a frame between the host's memory and the guest's pages, where they are not the same. */
function copyFrame(session: Session, queue: BufferQueue, held: HeldBuffer, host: HostBuffer): void {
  for (const [number, { host: region, length, pages }] of held.planes.entries()) {
    if (!region || !pages || pages.stitched) continue;
    const places = locate(session.context.memory, pages.pieces);
    if (typeof places === 'number') {
      warnLimited('shared-pages', 'pages of a buffer are not in guest memory any more', {
        session: session.id,
      });
      continue;
    }
    const bytes = Math.min(bytesUsed(host, number) || length, length);
    const ours: RegionPiece[] = [{ region, offset: 0, length }];
    if (queue.isCapture) copyPieces(ours, places, bytes);
    else copyPieces(places, ours, bytes);
  }
}
