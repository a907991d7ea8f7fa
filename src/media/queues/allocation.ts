/**
 * Allocation: makes the host's buffers behind a guest's queue, with the first backing that works. As the kernel
 * (vb2_core_reqbufs, vb2_core_create_bufs), it makes fewer buffers than the guest wants if there is room for no more. The
 * kernel gets back what has no room.
 */
import { Errno } from '../../errno.js';
import { isFailure } from '../../result.js';
import { encoded } from '../../struct.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { removeBuffers, requestBuffers } from '../../v4l2/layout.js';
import type { Session } from '../session.js';
import { adoptBuffers } from './adoption.js';
import { tryOut, usableBackings } from './backing-choice.js';
import { type Backing, backings } from './backings.js';
import { BufferQueue } from './buffer-queue.js';

/** The kernel's answer: an errno, and the `count` buffers from index `first` on that it made, of `each` bytes or more. */
export interface Grant {
  readonly status: number;
  readonly first: number;
  readonly count: number;
  readonly each: number;
}

/** Runs REQBUFS or CREATE_BUFS for at most `most` buffers of one backing. */
export type Issue = (backing: Backing, most: number) => Promise<Grant>;

/** What the guest asks for: V4L2_BUF_TYPE_* and V4L2_MEMORY_*. */
export interface Wanted {
  readonly type: number;
  readonly memory: number;
}

/**
 * Makes a new queue, with the first backing that the driver accepts and that passes its trial. Resolves to 0 or an errno;
 * ENOMEM: there is no room for a buffer, or for as many as the driver needs.
 */
export async function allocate(
  session: Session,
  wanted: Wanted,
  issue: Issue,
  most = Infinity,
): Promise<number> {
  const { type, memory } = wanted;
  const usable = usableBackings(session, type, memory);
  for (const backing of usable) {
    const { status, count, first, each } = await issue(backing, most);
    if (status === Errno.EINVAL && backing !== usable.at(-1)) continue;
    if (status === Errno.EBUSY || status === Errno.EINVAL) return status;
    // If the bridge refused, the driver still has the old buffers, but the guest has freed them.
    if (status !== 0) return failed(session, type, status);
    const old = session.queues.get(type);
    if (old) session.forget(old);
    const queue = new BufferQueue(type, backing);
    session.addQueue(queue);
    const adopted = await adoptBuffers(session, queue, first, count);
    if (adopted.errno !== 0) {
      refuse(queue, count - adopted.count, each);
      // If the driver makes more than it is asked for, it needs as many.
      const isTooMany = adopted.errno === Errno.ENOMEM && adopted.count > 0 && count <= most;
      if (!isTooMany) return failed(session, type, adopted.errno);
    }
    const trial = adopted.errno === 0 ? await tryOut(session, queue) : 'fewer';
    if (trial === 'sound') return 0;
    const undone = await freeAll(session, type);
    if (undone !== 0) return undone;
    if (trial === 'fewer') return allocate(session, wanted, issue, adopted.count);
    if (trial === 'again') return allocate(session, wanted, issue, most);
    if (isFailure(trial)) return trial.errno;
  }
  return Errno.EINVAL;
}

/** More buffers for a queue that has some. Resolves to those that the guest gets. ENOMEM: there is no room for one. */
export async function extend(session: Session, queue: BufferQueue, issue: Issue): Promise<Grant> {
  const grant = await issue(queue.backing, Infinity);
  const { status, first, count, each } = grant;
  if (status !== 0) return grant;
  const adopted = await adoptBuffers(session, queue, first, count);
  if (adopted.errno === 0) return grant;
  const kept = adopted.errno === Errno.ENOMEM ? adopted.count : 0;
  for (let index = first + kept; index < first + adopted.count; index++) session.forgetBuffer(queue, index);
  if (!(await giveBack(session, queue.type, first + kept, count - kept))) refuse(queue, count - kept, each);
  return { ...grant, status: kept > 0 ? 0 : adopted.errno, count: kept };
}

/** The kernel has these buffers and the guest does not. They count, and requests for their indices are refused. */
function refuse(queue: BufferQueue, count: number, each: number): void {
  const largest = Math.max(1, each, ...[...queue.buffers.values()].map(({ bytes }) => bytes));
  queue.refuse(count, count * largest);
}

/** REMOVE_BUFS (Linux 6.10). Resolves to whether the kernel has freed the buffers. */
async function giveBack(session: Session, type: number, index: number, count: number): Promise<boolean> {
  const record = encoded(removeBuffers, { index, count, type });
  return (await session.ioctl(Ioctl.REMOVE_BUFS, record)) === 0;
}

/** A count of 0: with the queue's backing, or the first one that the driver accepts. Resolves to 0 or an errno. */
export async function ask(session: Session, { type, memory }: Wanted, issue: Issue): Promise<number> {
  const queue = session.queues.get(type);
  let status: number = Errno.EINVAL;
  for (const backing of queue ? [queue.backing] : usableBackings(session, type, memory)) {
    status = (await issue(backing, 0)).status;
    if (status !== Errno.EINVAL) break;
  }
  return status;
}

async function failed(session: Session, type: number, errno: number): Promise<number> {
  await freeAll(session, type);
  return errno;
}

/** REQBUFS(0): the guest has no buffers any more. If it fails, buffers and queue stay. Resolves to 0 or an errno. */
async function freeAll(session: Session, type: number): Promise<number> {
  const queue = session.queues.get(type);
  if (!queue) return 0;
  await session.arm(queue);
  const { host: memory } = backings[queue.backing];
  const status = await session.ioctl(Ioctl.REQBUFS, encoded(requestBuffers, { type, memory }));
  if (status === 0) session.forget(queue);
  return status;
}
