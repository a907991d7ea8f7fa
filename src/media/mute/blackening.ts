/** Writes black, or nothing, over the memory of a buffer that the driver does not have. */
import type { NodeCall, Region } from '../../native.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { type GuestMemory, GuestMemoryError } from '../../virtio/guest-memory.js';
import { regionSlices } from '../../virtio/region-bytes.js';
import { COPY_STEP, type Turn } from '../../virtio/turn.js';
import { FlatCopy, ListCopy, runCopy } from '../memory/paced-copy.js';
import type { SharedMemory } from '../memory/shared-memory.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import { emptyRecord, hostPlanes } from '../queues/buffer-record.js';
import type { PlanePages, VideoBuffer, VideoPlane } from '../queues/video-buffer.js';
import { type BlackPlane, fill } from './black-frame.js';

/** What is needed of a session. */
export interface Painter {
  readonly context: { readonly shared: SharedMemory; readonly memory: GuestMemory; readonly turn: Turn };
  readonly closing: boolean;
}

/** Runs a call of the session's file at the driver. */
export type Run = (call: NodeCall) => Promise<number>;

/**
 * Fills each plane of the buffer, over several turns: where the driver writes, and so where a copy to the guest begins.
 * Resolves to false if some of it cannot be reached, as the memory of an object.
 */
export async function blacken(
  painter: Painter,
  run: Run,
  queue: BufferQueue,
  vb: VideoBuffer,
  planeOf: (number: number) => BlackPlane,
): Promise<boolean> {
  if (queue.backing === 'unmapped') return true;
  if (queue.backing === 'imported') return false;
  if (queue.backing === 'direct') return paintNode(painter, run, queue, vb, planeOf);
  for (const [number, plane] of vb.planes.entries()) await paintPlane(painter, plane, planeOf(number));
  return true;
}

/** A plane in mapped memory of the driver, in the arena, and in pages of the guest: each place that it has. */
async function paintPlane(painter: Painter, plane: VideoPlane, black: BlackPlane): Promise<void> {
  const { host, slot, pages, length } = plane;
  if (host) await paint(painter, host, 0, Math.min(length, host.size), black);
  if (slot) {
    const { region, offset } = painter.context.shared.memory(slot);
    await paint(painter, region, offset, length, black);
  }
  if (pages) await paintPages(painter, pages, length, black);
}

async function paintPages(
  { context: { memory, turn }, closing }: Painter,
  pages: PlanePages,
  length: number,
  black: BlackPlane,
): Promise<void> {
  const step = new Uint8Array(COPY_STEP);
  const copy = new ListCopy((address, at, bytes) => {
    const piece = step.subarray(0, bytes);
    fill(black, piece, at);
    memory.copyIn(address, piece, 0, bytes);
  }).begin(pages.memory.list, Math.min(pages.length, length));
  await runCopy(turn, copy, () => closing).catch((error: unknown) => {
    // The VMM has taken the pages away: there is nobody who could see them.
    if (!(error instanceof GuestMemoryError)) throw error;
  });
}

/** Backing `direct`: the buffer is mapped into this process for as long as this takes. */
async function paintNode(
  painter: Painter,
  run: Run,
  queue: BufferQueue,
  vb: VideoBuffer,
  planeOf: (number: number) => BlackPlane,
): Promise<boolean> {
  const host = emptyRecord(queue, vb.index);
  if ((await run({ kind: 'buffer', nr: Ioctl.QUERYBUF, ...host })) !== 0) return false;
  for (const [number, { length, offset }] of hostPlanes(host).entries()) {
    const map: NodeCall & { kind: 'map' } = { kind: 'map', offset, length };
    if ((await run(map)) !== 0 || !map.region) return false;
    try {
      await paint(painter, map.region, 0, length, planeOf(number));
    } finally {
      map.region.close();
    }
  }
  return true;
}

async function paint(
  painter: Painter,
  region: Region,
  offset: number,
  length: number,
  black: BlackPlane,
): Promise<void> {
  const move = (at: number, bytes: number): void => {
    let done = at;
    for (const slice of regionSlices(region, offset + at, bytes)) {
      fill(black, slice, done);
      done += slice.length;
    }
  };
  await runCopy(painter.context.turn, new FlatCopy(length, move), () => painter.closing);
}
