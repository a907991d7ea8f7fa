/**
 * The drain: what a session does when its node is ready. It dequeues V4L2 events until ENOENT, then buffers until EAGAIN
 * (or EPIPE). It takes an event reservation before each dequeue. If no descriptor is free, the kernel keeps the frame,
 * and the drain continues at the next kick of the eventq.
 *
 * A job of a mem-to-mem device ends with two buffers, and a program of the host finds both ready in one poll. So buffers
 * that are ready together are sent together: OUTPUT first, as programs expect that count their OUTPUT buffers. If the
 * guest makes media requests, CAPTURE is first, because the OUTPUT buffer says that the request is complete.
 */

import { Errno } from '../../errno.js';
import { BufferFlag, buffer, event } from '../../v4l2/layout.js';
import { memoryTypes } from '../memory/types.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import { received } from '../queues/buffer-record.js';
import type { HostBuffer, VideoBuffer } from '../queues/video-buffer.js';
import type { Session } from '../session.js';
import { EventReservation } from './event-reservation.js';
import { damaged, nextReturned } from './returned-buffer.js';

/** `empty`: nothing more is ready. `starved`: there may be more, but no descriptor of the eventq is free. */
type Outcome = 'empty' | 'starved';

/** A buffer that is out of the kernel. The drain keeps a reservation for its event. */
interface Returned {
  readonly queue: BufferQueue;
  readonly vb: VideoBuffer | undefined;
  readonly host: HostBuffer;
}

/** Queues in the order in which the guest is told of their buffers that are ready together. */
interface Order {
  readonly first: readonly BufferQueue[];
  readonly last: readonly BufferQueue[];
}

/** One drain. It runs in the session's turn. */
export async function drain(session: Session): Promise<void> {
  const reservation = new EventReservation(session.context.events, session.resume);
  await drainAll(session, reservation).finally(() => reservation.giveBack());
}

async function drainAll(session: Session, reservation: EventReservation): Promise<void> {
  if ((await readEvents(session, reservation)) === 'starved') return;
  const order = orderOf(session);
  for (const queue of [...order.first, ...order.last])
    if (sendOwed(session, queue, reservation) === 'starved') return;
  if ((await drainQueues(session, order, reservation)) === 'starved') return;
  if (session.gone && session.context.errorEvents) reportLoss(session, reservation);
}

function orderOf({ queues, handles }: Session): Order {
  const captures = [...queues.values()].filter(({ isCapture }) => isCapture);
  const outputs = [...queues.values()].filter(({ isCapture }) => !isCapture);
  return handles ? { first: captures, last: outputs } : { first: outputs, last: captures };
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

/** Sends buffers, those that are ready together at a time, until none is ready. */
async function drainQueues(session: Session, order: Order, reservation: EventReservation): Promise<Outcome> {
  for (;;) {
    const group: Group = { firsts: [], lasts: [] };
    const outcome = await collect(session, order, reservation, group);
    await sendTogether(session, sideBySide(group), reservation);
    if (session.closing) return 'empty';
    if (outcome !== 'more') return outcome;
  }
}

/** Buffers that are told next: those of the first queues, and those of the last ones. */
interface Group {
  readonly firsts: Returned[];
  readonly lasts: Returned[];
}

/**
 * Collects what is ready. Without first queues, one buffer at a time (`more`). A buffer of the first queues that is told
 * before one that is out of the kernel already needs no free descriptor: if there is none, both wait in the eventq.
 */
async function collect(
  session: Session,
  { first, last }: Order,
  reservation: EventReservation,
  { firsts, lasts }: Group,
): Promise<Outcome | 'more'> {
  // A job may end between two looks, so the end is a look at all queues that finds nothing.
  for (let before = -1; before !== firsts.length + lasts.length; ) {
    before = firsts.length + lasts.length;
    const one = await takeOne(session, last, reservation);
    if (typeof one !== 'string') lasts.push(one);
    if (one === 'starved' || session.closing) return 'starved';
    if (first.length === 0) return one === 'empty' ? 'empty' : 'more';
    const outcome = await takeFirsts(session, first, reservation, { firsts, lasts });
    if (outcome === 'starved') return outcome;
  }
  return 'empty';
}

/**
 * The buffers of a job side by side, the first queue's before the last one's. What the last queues have more was made by
 * jobs whose other buffer is told already.
 */
function sideBySide({ firsts, lasts }: Group): Returned[] {
  const alone = lasts.length - Math.min(firsts.length, lasts.length);
  const jobs = firsts.flatMap((first, n) => [first, ...lasts.slice(alone + n, alone + n + 1)]);
  return [...lasts.slice(0, alone), ...jobs];
}

/** Adds every buffer of the first queues that is ready. */
async function takeFirsts(
  session: Session,
  queues: readonly BufferQueue[],
  reservation: EventReservation,
  { firsts, lasts }: Group,
): Promise<Outcome> {
  for (;;) {
    const isAhead = firsts.length < lasts.length;
    const taken = await takeOne(session, queues, reservation, isAhead);
    if (typeof taken !== 'string') {
      firsts.push(taken);
      continue;
    }
    // Without a free descriptor, no further buffer may be taken from the kernel.
    if (isAhead) reservation.relinquish();
    return taken;
  }
}

/** Takes the next buffer of the queues that the guest must be told of. */
async function takeOne(
  session: Session,
  queues: readonly BufferQueue[],
  reservation: EventReservation,
  isAhead = false,
): Promise<Returned | Outcome> {
  for (const queue of queues) {
    const taken = await takeFrom(session, queue, reservation, isAhead);
    if (taken !== 'empty') return taken;
  }
  return 'empty';
}

async function takeFrom(
  session: Session,
  queue: BufferQueue,
  reservation: EventReservation,
  isAhead: boolean,
): Promise<Returned | Outcome> {
  const { turn } = session.context;
  for (let untold = 0; untold <= queue.buffers.size && isDue(session, queue); untold++) {
    // If the node is gone, buffers come back without a call on the lane, so this loop has to end its turns itself.
    if (turn.over) await turn.next();
    if (!reservation.take(isAhead)) return 'starved';
    const host = await nextReturned(session, queue);
    if (!host || session.closing) break;
    const { index } = buffer.read(host.buffer);
    if (!queue.isCapture) session.requests?.returned(index);
    // v4l2loopback returns buffers that are not queued. The Linux driver of the guest would count them.
    if (queue.takeAbandoned(index) || !queue.queued.has(index)) continue;
    if (queue.unannounced.has(index)) {
      queue.keepEarly(host);
      continue;
    }
    queue.dequeue(index, host.buffer);
    reservation.keep();
    return { queue, vb: queue.buffers.get(index), host };
  }
  return 'empty';
}

/** Whether the driver has buffers of the queue, and the guest may be told of them. */
function isDue(session: Session, { queued, abandoned, isDrained }: BufferQueue): boolean {
  return (queued.size > 0 || abandoned.size > 0) && !session.closing && (isDrained || session.gone);
}

/** Makes the frames ready for the guest, then sends all events of the group at once. */
async function sendTogether(
  session: Session,
  group: readonly Returned[],
  reservation: EventReservation,
): Promise<void> {
  for (const { queue, vb, host } of group) {
    // SOURCE_CHANGE and EOS go before the buffer with the LAST flag.
    if (buffer.read(host.buffer).flags & BufferFlag.LAST) await readEventsAhead(session);
    if (vb && !session.closing) await memoryTypes[queue.memory]!.release(session, queue, vb, host);
  }
  if (session.closing) return;
  session.context.events.together(() => {
    for (const { queue, vb, host } of group) {
      const { buffer: record, planes } = received(queue, vb, host);
      reservation.useKept().sendBuffer(session.id, record, planes);
    }
  });
}

/** Sends the events that are ready now, before a buffer that DQBUF has already returned. */
async function readEventsAhead(session: Session): Promise<void> {
  const reservation = new EventReservation(session.context.events, null);
  await readEvents(session, reservation, true).finally(() => reservation.giveBack());
}
