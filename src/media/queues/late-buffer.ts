/**
 * Buffers whose QBUF or PREPARE_BUF succeeded after the guest had got an early answer (ETIMEDOUT or EINTR). The driver
 * has the buffer, but the guest believes that the ioctl failed. The guest either repeats the ioctl or never asks again.
 */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { failure, type Result } from '../../result.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { streamType } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import { drain } from '../events/drain.js';
import type { BufferCall, MemoryType } from '../memory/memory-type.js';
import type { Session } from '../session.js';
import type { Backing } from './backings.js';
import type { BufferQueue } from './buffer-queue.js';
import type { HostBuffer } from './video-buffer.js';

/** Backings whose memory is not the bridge's: the hardware uses guest pages, or the memory of an imported object. */
const foreign: ReadonlySet<Backing> = new Set<Backing>(['pages-userptr', 'imported']);

/**
 * What happens to the result of a QBUF that succeeded after the guest was answered (commands/late-result.ts).
 * `host`: the record that the driver got.
 */
export function lateQueued(call: BufferCall, type: MemoryType, host: HostBuffer): Partial<Answer> {
  const { session, queue, vb } = call;
  const { index } = vb;
  return {
    // The guest may have changed the picture in an OUTPUT buffer since the first QBUF.
    isSame: async () => (await type.isSame?.(call, host)) ?? true,
    unannounced: () => void queue.conceal(index),
    announced: async () => {
      queue.announce(index);
      session.wantDrain();
    },
    dropped: () => {
      queue.announce(index);
      if (queue.dropEarly(index)) return undefined;
      if (queue.backing === 'pages-userptr') return takeBack(session, queue, index);
      return void queue.abandon(index);
    },
  };
}

/** The same for PREPARE_BUF. If the guest does not repeat it, its next QBUF may name other memory. */
export function latePrepared({ session, queue, vb }: BufferCall): Partial<Answer> {
  return {
    dropped: () => {
      vb.prepare(false);
      return foreign.has(queue.backing) ? takeBack(session, queue, vb.index) : undefined;
    },
  };
}

/**
 * QBUF of an abandoned buffer: the driver still has it from an earlier QBUF. Resolves to the number of the ioctl
 * to run instead: QUERYBUF if the driver is about to fill the same memory anyway, QBUF if the bridge could take the
 * buffer back from the driver first. EINVAL: the driver keeps the buffer; the guest must wait until it comes back.
 */
export async function queueAgain(call: BufferCall): Promise<Result<number>> {
  const { session, queue, vb } = call;
  if (queue.isCapture && !foreign.has(queue.backing)) return Ioctl.QUERYBUF;
  if (queue.streaming) await drain(session);
  else await takeBack(session, queue, vb.index);
  return queue.abandoned.has(vb.index) ? failure(Errno.EINVAL) : Ioctl.QBUF;
}

/**
 * Takes one buffer back from the driver. STREAMOFF is the only way, and it returns all buffers, so the bridge queues
 * the others again in their order. If the driver refuses one of them, or if its QBUF cannot be repeated (it was in a
 * request, or it is an object), the guest gets a damaged frame for it.
 */
async function takeBack(session: Session, queue: BufferQueue, index: number): Promise<void> {
  if (session.closing || session.gone) return;
  if (queue.streaming) await drain(session);
  const type = streamType.encode({ type: queue.type });
  const before = queue.stream;
  await session.arm(queue);
  if ((await session.ioctl(Ioctl.STREAMOFF, type)) !== 0) return;
  session.stopped(queue);
  const others = before.queued.filter((other) => other !== index);
  const taken = new Set<number>();
  for (const other of others) {
    const isBack = !before.driverHas.includes(other);
    if (isBack || (await isTaken(session, queue.buffers.get(other)?.ioctl))) taken.add(other);
  }
  queue.requeued(before, taken);
  queue.owe(others.filter((other) => !taken.has(other)));
  if (before.isStreaming) queue.restarted(before, (await session.ioctl(Ioctl.STREAMON, type)) !== 0);
  await session.rearm();
}

/** Whether the driver takes the buffer again when its QBUF is repeated. */
async function isTaken(session: Session, ioctl: NodeCall | null | undefined): Promise<boolean> {
  return ioctl ? (await session.call(ioctl)) === 0 : false;
}
