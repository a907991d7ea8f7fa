/**
 * The drain: what a session does when its node is ready. It dequeues V4L2 events until ENOENT, then CAPTURE buffers
 * until EAGAIN (or EPIPE), then OUTPUT buffers until EAGAIN. It takes an event reservation before each dequeue. If no
 * descriptor is free, the kernel keeps the frame, and the drain continues at the next kick of the eventq.
 */

import { Errno } from '../../errno.js';
import { log } from '../../log.js';
import { NONE } from '../../struct.js';
import { BufferFlag, buffer, event, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import { memoryTypes } from '../memory/types.js';
import { backings } from '../queues/backings.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import { received } from '../queues/buffer-record.js';
import type { HostBuffer, VideoBuffer } from '../queues/video-buffer.js';
import type { Session } from '../session.js';
import { EventReservation } from './eventq.js';

/** `empty`: nothing more is ready. `starved`: there may be more, but no descriptor of the eventq is free. */
type Outcome = 'empty' | 'starved';

/** One drain. It runs in the session's turn. */
export async function drain(session: Session): Promise<void> {
  const reservation = new EventReservation(session.context.events, session.resume);
  await drainAll(session, reservation).finally(() => reservation.giveBack());
}

async function drainAll(session: Session, reservation: EventReservation): Promise<void> {
  if ((await readEvents(session, reservation)) === 'starved') return;
  const queues = [...session.queues.values()];
  for (const queue of [...queues.filter((q) => q.isCapture), ...queues.filter((q) => !q.isCapture)]) {
    if (sendOwed(session, queue, reservation) === 'starved') return;
    if ((await drainQueue(session, queue, reservation)) === 'starved') return;
  }
  if (session.gone && session.context.errorEvents) reportLoss(session, reservation);
}

/** VIRTIO 1.4, Media Device, "Device-side error": sent once, after the last buffer. The session exists until CLOSE. */
function reportLoss(session: Session, reservation: EventReservation): void {
  if (session.closing || session.isLossReported || !reservation.take()) return;
  session.lossReported();
  reservation.use().sendError(session.id, Errno.ENODEV);
}

/** Sends all V4L2 events that are ready, for example before SUBSCRIBE_EVENT with SEND_INITIAL is answered. */
export async function drainEvents(session: Session): Promise<void> {
  const reservation = new EventReservation(session.context.events, session.resume);
  await readEvents(session, reservation).finally(() => reservation.giveBack());
  await session.context.events.flushed(() => session.closing);
}

/** `present`: only the events that are ready now, so that a fast source of events cannot keep the loop in here. */
async function readEvents(
  session: Session,
  reservation: EventReservation,
  present = false,
): Promise<Outcome> {
  let left = Infinity;
  while (left > 0 && !session.gone && !session.closing && session.subscriptions.size > 0) {
    if (!reservation.take()) return 'starved';
    const record = Buffer.alloc(event.size);
    const errno = await session.call({ kind: 'dequeueEvent', event: record });
    if (errno !== 0 || session.closing) break;
    const read = event.read(record);
    if (present) left = Math.min(left - 1, read.pending);
    reservation.use().sendEvent(session.id, event.encode({ ...read, pad4: 0, pad132: 0 }));
  }
  return 'empty';
}

/** Sends a damaged frame for each buffer that the driver returned without DQBUF. */
function sendOwed(session: Session, queue: BufferQueue, reservation: EventReservation): Outcome {
  for (const index of [...queue.owed]) {
    if (!reservation.take()) return 'starved';
    queue.payOwed(index);
    const vb = queue.buffers.get(index);
    if (!vb) continue;
    const { buffer: record, planes } = received(queue, vb, damaged(queue, vb));
    reservation.use().sendBuffer(session.id, record, planes);
  }
  return 'empty';
}

async function drainQueue(
  session: Session,
  queue: BufferQueue,
  reservation: EventReservation,
): Promise<Outcome> {
  let unqueued = 0;
  while (
    isExpecting(queue) &&
    unqueued <= queue.buffers.size &&
    !session.closing &&
    (queue.isDrained || session.gone)
  ) {
    // If the node is gone, buffers come back without a call on the lane, so this loop has to end its turns itself.
    const { turn } = session.context;
    if (turn.over) await turn.next();
    if (!reservation.take()) return 'starved';
    const host = await dequeue(session, queue);
    if (!host || session.closing) break;
    const { index, flags } = buffer.read(host.buffer);
    if (!queue.isCapture) session.requests?.returned(index);
    // v4l2loopback returns buffers that are not queued. The Linux driver of the guest would count them.
    if (queue.takeAbandoned(index) || !queue.queued.has(index)) {
      unqueued++;
      continue;
    }
    if (queue.unannounced.has(index)) {
      queue.keepEarly(host);
      continue;
    }
    await sendAhead(session, queue, flags);
    if (session.closing) break;
    const vb = queue.buffers.get(index);
    if (vb) await memoryTypes[queue.memory]!.release(session, queue, vb, host);
    if (session.closing) break;
    queue.dequeue(index, host.buffer);
    const { buffer: record, planes } = received(queue, vb, host);
    reservation.use().sendBuffer(session.id, record, planes);
  }
  return 'empty';
}

/** Sends what the guest must get before a buffer that DQBUF has already returned. */
async function sendAhead(session: Session, queue: BufferQueue, flags: number): Promise<void> {
  const reservation = new EventReservation(session.context.events, null);
  try {
    // SOURCE_CHANGE and EOS go before the buffer with the LAST flag.
    if (flags & BufferFlag.LAST) await readEvents(session, reservation, true);
    // An OUTPUT buffer tells the guest that its request is complete: as on a host, the CAPTURE buffer goes first.
    if (!session.handles || queue.isCapture) return;
    const captures = [...session.queues.values()].filter(({ isCapture }) => isCapture);
    for (const capture of captures) await drainQueue(session, capture, reservation);
  } finally {
    reservation.giveBack();
  }
}

/** Whether the driver has buffers of the queue. */
function isExpecting({ queued, abandoned }: BufferQueue): boolean {
  return queued.size > 0 || abandoned.size > 0;
}

/** What each errno of DQBUF means for the queue (Linux, Documentation: VIDIOC_DQBUF). EAGAIN: no buffer is ready. */
const verdicts: Readonly<Record<number, (session: Session, queue: BufferQueue) => Promise<void>>> = {
  [Errno.EPIPE]: async (session, queue) => {
    queue.end();
    await session.arm();
  },
  [Errno.EINVAL]: async (session, queue) => {
    queue.notStreaming();
    await session.arm();
  },
  [Errno.EIO]: async (session, queue) => {
    log.warn('the driver gave up on a queue (EIO): its buffers go back with the ERROR flag', {
      session: session.id,
      type: queue.type,
    });
    queue.fail();
    await session.arm();
  },
};

/** The next buffer that has come back; null: there is none. */
async function dequeue(session: Session, queue: BufferQueue): Promise<HostBuffer | null> {
  const early = queue.takeEarly();
  if (early) return early;
  if (!session.gone && !queue.failed && !queue.ended) {
    const host = emptyRecord(queue);
    const errno = await session.call({ kind: 'dequeueBuffer', ...host });
    if (errno === 0) return host;
    await verdicts[errno]?.(session, queue);
  }
  return session.gone || queue.failed ? returned(queue) : null;
}

/** If the driver will never return the queued buffers: the next one of them, as a damaged frame. Null: none is left. */
function returned(queue: BufferQueue): HostBuffer | null {
  const [index] = queue.wanted;
  const vb = index === undefined ? undefined : queue.buffers.get(index);
  return vb ? damaged(queue, vb) : null;
}

/** A frame without data and with the ERROR flag, numbered after the last frame of the queue. */
function damaged(queue: BufferQueue, vb: VideoBuffer): HostBuffer {
  const host = emptyRecord(queue);
  const { timestamp, sequence, field, flags } = buffer.read(queue.lastFrame ?? host.buffer);
  buffer.write(host.buffer, {
    ...buffer.read(host.buffer),
    index: vb.index,
    timestamp,
    sequence: queue.lastFrame ? (sequence + 1) >>> 0 : 0,
    field,
    flags: (flags & TIMESTAMP_FLAGS) | BufferFlag.ERROR,
    length: queue.isMultiplanar ? vb.planes.length : (vb.planes[0]?.length ?? 0),
  });
  for (const [number, { length }] of vb.planes.entries()) {
    const empty = { bytesused: 0, length, m: NONE, dataOffset: 0, reserved: NONE };
    if (host.planes) plane.write(host.planes, empty, number * plane.size);
  }
  return host;
}

/** The record for DQBUF. */
function emptyRecord(queue: BufferQueue): HostBuffer {
  const record = Buffer.alloc(buffer.size);
  record.writeUInt32LE(queue.type, buffer.offset.type);
  record.writeUInt32LE(backings[queue.backing].host, buffer.offset.memory);
  if (!queue.isMultiplanar) return { buffer: record };
  record.writeUInt32LE(VIDEO_MAX_PLANES, buffer.offset.length);
  return { buffer: record, planes: Buffer.alloc(VIDEO_MAX_PLANES * plane.size) };
}

/** V4L2_BUF_FLAG_TIMESTAMP_MASK and V4L2_BUF_FLAG_TSTAMP_SRC_MASK: the kind of timestamp that the driver gives. */
const TIMESTAMP_FLAGS = 0x0007_e000;
