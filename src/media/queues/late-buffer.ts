/**
 * A buffer that the driver has, or has prepared, though the guest believes that it has not: the command was answered before.
 * The guest asks again, or does without.
 */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { streamType } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import { drain } from '../events/drain.js';
import type { BufferCall, MemoryType } from '../memory/memory-type.js';
import type { Session } from '../session.js';
import type { Backing } from './backings.js';
import type { BufferQueue } from './buffer-queue.js';
import type { HostBuffer } from './video-buffer.js';

/** The hardware is at memory that is not ours: the guest's pages, or what an object is made of. */
const foreign: ReadonlySet<Backing> = new Set<Backing>(['pages-userptr', 'imported']);

/** What is done with an answer to QBUF that came late; `host`: what the driver was given. */
export function lateQueued(call: BufferCall, type: MemoryType, host: HostBuffer): Partial<Answer> {
  const { session, queue, vb } = call;
  const { index } = vb;
  return {
    // An OUTPUT picture may have been painted over meanwhile.
    isSame: async () => (await type.isSame?.(call, host)) ?? true,
    untold: () => void queue.conceal(index),
    told: async () => {
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

/** The same for PREPARE_BUF: the next QBUF may name other memory. */
export function latePrepared({ session, queue, vb }: BufferCall): Partial<Answer> {
  return {
    dropped: () => {
      vb.prepare(false);
      return foreign.has(queue.backing) ? takeBack(session, queue, vb.index) : undefined;
    },
  };
}

/**
 * QBUF of a buffer that the driver has from a QBUF that the guest does without. Resolves to the ioctl that it needs: QUERYBUF
 * where the driver is to fill it anyway; an errno where it must come back by itself first.
 */
export async function queueAgain(call: BufferCall): Promise<{ readonly nr: number } | number> {
  const { session, queue, vb } = call;
  if (queue.isCapture && !foreign.has(queue.backing)) return { nr: Ioctl.QUERYBUF };
  if (queue.streaming) await drain(session);
  else await takeBack(session, queue, vb.index);
  return queue.abandoned.has(vb.index) ? Errno.EINVAL : { nr: Ioctl.QBUF };
}

/**
 * Takes one buffer back from the driver, which gives back all or none (STREAMOFF): the others are queued again in their order. One that
 * the driver does not take again, that was in a request or is an object, is a damaged frame to the guest.
 */
async function takeBack(session: Session, queue: BufferQueue, index: number): Promise<void> {
  if (session.closing || session.gone) return;
  if (queue.streaming) await drain(session);
  const type = streamType.encode({ type: queue.type });
  const before = queue.stream;
  await session.arm(queue);
  if ((await session.ioctl(Ioctl.STREAMOFF, type)) !== 0) return;
  queue.stopped();
  if (!queue.isCapture) session.requests?.stopped();
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

async function isTaken(session: Session, ioctl: NodeCall | null | undefined): Promise<boolean> {
  return ioctl ? (await session.call(ioctl)) === 0 : false;
}
