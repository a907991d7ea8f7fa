/** REQBUFS, CREATE_BUFS and REMOVE_BUFS: they make and free the host's queue that backs the guest's queue. */

import { Errno } from '../../errno.js';
import { failure, isFailure, type Result } from '../../result.js';
import { encoded, filled } from '../../struct.js';
import { isOverlay } from '../../v4l2/buffer-type.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import {
  BufferCapability,
  createBuffers as createRecord,
  format,
  removeBuffers as removeRecord,
  requestBuffers as requestRecord,
} from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import { stale } from '../events/eventq.js';
import { allocate, ask, extend, type Grant, type Issue, type Wanted } from '../queues/allocation.js';
import { isOffered } from '../queues/backing-choice.js';
import { backings } from '../queues/backings.js';
import { guestCapabilities, offerOf } from '../queues/buffer-capabilities.js';
import { bufferBytes } from '../queues/buffer-size.js';
import { grantable, unclaim } from '../queues/room.js';
import type { Session } from '../session.js';
import { currentFormat, isFormatAllowed } from './formats.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

/**
 * The current format, if the guest may have buffers of it. All is 0 but the type: the node has none, so the driver
 * decides. EINVAL: the policy denies it, or its buffers would have no bytes.
 */
async function formatOfBuffers(session: Session, type: number): Promise<Result<Buffer>> {
  const current = await currentFormat(session, type);
  if (isFailure(current)) return encoded(format, { type });
  return isFormatAllowed(session, current) && !isEmpty(current) ? current : failure(Errno.EINVAL);
}

/**
 * Whether buffers of the format would have no bytes. vb2 answers EINVAL to that, but with a WARN first, which ends a
 * host that has panic_on_warn. false: all is 0, so the node has no format of this type.
 */
function isEmpty(current: Uint8Array): boolean {
  return bufferBytes(current) === 0 && format.read(current).fmt.some((byte) => byte !== 0);
}

/**
 * VIDIOC_REQBUFS. Payload: struct v4l2_requestbuffers (20 bytes), and back on success, with the guest's memory type
 * and with the capabilities that the guest has.
 *
 * Errnos of its own: EINVAL for overlay types, a memory type that is not offered, a current format that the policy
 * denies or whose sizeimage is 0, or if no backing works with this driver; ENOMEM if the limits of the policy and SHM
 * region 0 have no room for a buffer, or for as many as the driver needs. All others come from the driver
 * (vb2_reqbufs): EBUSY, for example, while the buffers are another program's.
 *
 * `count` comes back as the number of buffers that were made: fewer than the guest wants if there is room for no more,
 * more if the driver needs more. A count of 0 frees the buffers. No frame of the old buffers follows the answer.
 */
export async function requestBuffers(session: Session, request: IoctlRequest): Promise<Answer> {
  const { type, memory, count, flags } = requestRecord.read(request.payload);
  if (isOverlay(type) || !isOffered(session, memory)) return { status: Errno.EINVAL };
  const current = count > 0 ? await formatOfBuffers(session, type) : encoded(format, { type });
  if (isFailure(current)) return { status: current.errno };
  const { payload } = request;
  const issue: Issue = async (backing, most) => {
    const others = [...session.queues.values()].filter((queue) => queue.type !== type);
    const granted = grantable(session, backing, others, current, Math.min(count, most));
    if (count > 0 && granted === 0) return { ...nothing, status: Errno.ENOMEM };
    const { host: hostMemory, hints } = backings[backing];
    const record = { count: granted, type, memory: hostMemory, flags: hints ? flags : 0 };
    requestRecord.write(payload, filled(requestRecord, record));
    const status = await session.ioctl(Ioctl.REQBUFS, payload);
    if (status !== 0) return { ...nothing, status };
    return { status, first: 0, count: requestRecord.read(payload).count, each: bufferBytes(current) };
  };
  return guarded(session, request, { type, memory }, async () => {
    if (count > 0) return allocate(session, { type, memory }, issue);
    const old = session.queues.get(type);
    const status = await ask(session, { type, memory }, issue);
    if (status === 0 && old) session.forget(old);
    return status;
  });
}

/**
 * VIDIOC_CREATE_BUFS. Payload: struct v4l2_create_buffers (256 bytes), and back on success, with the guest's memory
 * type and with the capabilities that the guest has.
 *
 * Errnos of its own: EINVAL for overlay types, a memory type that is not offered or is not the queue's, or a format
 * that the policy denies; ENOBUFS if the queue has policy.maxBuffers; ENOMEM if the limits of the policy and SHM region 0
 * have no room for a buffer. All others come from the driver (vb2_create_bufs).
 *
 * `count` comes back as the number of buffers that were made: fewer than the guest wants if there is room for no more. A
 * count of 0 makes no buffer: the kernel only checks the rest.
 */
export async function createBuffers(session: Session, request: IoctlRequest): Promise<Answer> {
  const { count, memory, format: wanted, flags } = createRecord.read(request.payload);
  const { type } = format.read(wanted);
  if (isOverlay(type) || !isOffered(session, memory)) return { status: Errno.EINVAL };
  if (!isFormatAllowed(session, Buffer.from(wanted))) return { status: Errno.EINVAL };
  const { payload } = request;
  const issue: Issue = async (backing, most) => {
    const queues = [...session.queues.values()];
    const granted = grantable(session, backing, queues, wanted, Math.min(count, most));
    const { host: hostMemory, hints } = backings[backing];
    const record = { count: granted, memory: hostMemory, format: wanted, flags: hints ? flags : 0 };
    createRecord.write(payload, filled(createRecord, record));
    const isFull = (session.queues.get(type)?.count ?? 0) >= session.context.policy.maxBuffers;
    const judged = await session.ioctl(Ioctl.CREATE_BUFS, payload);
    // With a count of 0, the kernel makes no buffers and still checks the rest of the request.
    const refusal = isFull ? Errno.ENOBUFS : Errno.ENOMEM;
    const status = judged === 0 && count > 0 && granted === 0 ? refusal : judged;
    if (status !== 0) return { ...nothing, status };
    const made = createRecord.read(payload);
    return { status, first: made.index, count: made.count, each: bufferBytes(made.format) };
  };
  return guarded(session, request, { type, memory }, async () => {
    const queue = session.queues.get(type);
    if (queue && queue.memory !== memory) return Errno.EINVAL;
    if (count === 0) return ask(session, { type, memory }, issue);
    if (!queue) return allocate(session, { type, memory }, issue);
    const made = await extend(session, queue, issue);
    payload.writeUInt32LE(made.count, createRecord.offset.count);
    return made.status;
  });
}

/** A grant without buffers. */
const nothing: Grant = { status: 0, first: 0, count: 0, each: 0 };

/**
 * Runs the allocation while the watcher ignores the queue, and answers when the driver has processed all events. The
 * Linux driver replaces its array of buffers after the answer, so an event of an old buffer must not come after it.
 */
async function guarded(
  session: Session,
  request: IoctlRequest,
  { type, memory }: Wanted,
  run: () => Promise<number>,
): Promise<Answer> {
  const { row } = request;
  await session.arm(session.queues.get(type));
  const status = await run().finally(() => unclaim(session));
  await session.arm();
  if (status !== 0) return { status };
  const { remaining } = request.command;
  if (row.nr === Ioctl.REQBUFS) await session.quiet(remaining, stale.framesOf(type));
  else await session.context.events.barrier(remaining);
  restoreGuestView(session, request, type, memory);
  return { status, payload: [request.payload] };
}

/**
 * VIDIOC_REMOVE_BUFS (Linux 6.10). Payload: struct v4l2_remove_buffers (64 bytes), and back on success. Frees `count`
 * buffers from `index` on. Errnos are the driver's.
 */
export async function removeBuffers(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const { index: first, count, type } = removeRecord.read(payload);
  const queue = session.queues.get(type);
  const goes = (index: number): boolean => index >= first && index - first < count;
  const kept = [...(queue?.buffers.keys() ?? [])].filter((index) => !goes(index));
  // An armed queue without buffers makes vb2 start read() emulation.
  await session.arm(kept.length === 0 ? queue : undefined);
  const status = await session.ioctl(row.nr, payload);
  if (status === 0 && queue) {
    for (const index of [...queue.buffers.keys()].filter(goes)) session.forgetBuffer(queue, index);
    if (queue.buffers.size === 0 && !queue.streaming) session.forget(queue);
  }
  await session.arm();
  return reply(request, status);
}

/** Writes the guest's view into the answer: its memory type, its capabilities, and at most policy.maxBuffers. */
function restoreGuestView(session: Session, request: IoctlRequest, type: number, memory: number): void {
  const { row, payload } = request;
  const { context } = session;
  const record = row.nr === Ioctl.REQBUFS ? requestRecord : createRecord;
  payload.writeUInt32LE(memory, record.offset.memory);
  const capabilities = payload.readUInt32LE(record.offset.capabilities);
  const seen = guestCapabilities(capabilities, offerOf(session, type));
  payload.writeUInt32LE(seen, record.offset.capabilities);
  if (row.nr !== Ioctl.CREATE_BUFS || !(capabilities & BufferCapability.MAX_NUM_BUFFERS)) return;
  const most = payload.readUInt32LE(createRecord.offset.maxNumBuffers);
  payload.writeUInt32LE(Math.min(most, context.policy.maxBuffers), createRecord.offset.maxNumBuffers);
}
