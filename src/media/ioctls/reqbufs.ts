/** REQBUFS, CREATE_BUFS and REMOVE_BUFS: they make and free the host's queue that backs the guest's queue. */

import { Errno } from '../../errno.js';
import { isFailure } from '../../result.js';
import { NONE } from '../../struct.js';
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
import { adoptBuffers, isOffered, tryOut, usableBackings } from '../queues/backing-choice.js';
import { type Backing, backings } from '../queues/backings.js';
import { BufferQueue, bytesOf } from '../queues/buffer-queue.js';
import { bufferBytes } from '../queues/buffer-size.js';
import type { Session } from '../session.js';
import type { SessionContext } from '../session-context.js';
import { currentFormat, isCurrentAllowed, isFormatAllowed } from './formats.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

/** The kernel's answer: an errno, and the `count` buffers from index `first` on that it made. */
interface Grant {
  readonly status: number;
  readonly first: number;
  readonly count: number;
}

/**
 * How many of `count` buffers of the format `wanted` a session may get if the queues `kept` stay. Claims their bytes
 * before the kernel allocates, so no other session gets the same bytes until `guarded` ends.
 */
function grantable(
  session: Session,
  kept: readonly BufferQueue[],
  wanted: Uint8Array,
  count: number,
): number {
  const { type } = format.read(wanted);
  const { maxBuffers } = session.context.policy;
  const room = maxBuffers - (kept.find((queue) => queue.type === type)?.count ?? 0);
  const each = Math.max(1, bufferBytes(wanted));
  const bytes = bytesOf(kept);
  const granted = Math.max(0, Math.min(count, room, Math.floor((session.allowance - bytes) / each)));
  session.claim(bytes + granted * each);
  return granted;
}

/**
 * Whether buffers of the current format would have no bytes. vb2 answers EINVAL to that, but with a WARN first, which
 * ends a host that has panic_on_warn. false: the node has no current format (all is 0), so the driver decides.
 */
function isEmpty(current: Uint8Array): boolean {
  return bufferBytes(current) === 0 && format.read(current).fmt.some((byte) => byte !== 0);
}

/** Runs REQBUFS or CREATE_BUFS for one backing. `payload` is written anew for each attempt. */
type Issue = (backing: Backing, payload: Buffer) => Promise<Grant>;

/**
 * VIDIOC_REQBUFS. Payload: struct v4l2_requestbuffers (20 bytes), and back on success, with the guest's memory type
 * and with the capabilities that the guest has.
 *
 * Errnos of its own: EINVAL for overlay types, a memory type that is not offered, a current format that the policy
 * denies or whose sizeimage is 0, or if no backing works with this driver; ENOMEM if the limits of the policy leave no buffer, or if SHM
 * region 0 is full. All others come from the driver (vb2_reqbufs): EBUSY, for example, while the buffers are another
 * program's.
 *
 * A count of 0 frees the buffers. No frame of the old buffers follows the answer.
 */
export async function requestBuffers(session: Session, request: IoctlRequest): Promise<Answer> {
  const { type, memory, count, flags } = requestRecord.read(request.payload);
  if (isOverlay(type) || !isOffered(session, memory)) return { status: Errno.EINVAL };
  if (count > 0 && !(await isCurrentAllowed(session, type))) return { status: Errno.EINVAL };
  const current = count > 0 ? await currentFormat(session, type) : NONE;
  if (count > 0 && isEmpty(current)) return { status: Errno.EINVAL };
  const issue: Issue = async (backing, payload) => {
    const others = [...session.queues.values()].filter((queue) => queue.type !== type);
    const granted = count > 0 ? grantable(session, others, current, count) : 0;
    if (count > 0 && granted === 0) return { status: Errno.ENOMEM, first: 0, count: 0 };
    const asked = {
      count: granted,
      type,
      memory: backings[backing].host,
      capabilities: 0,
      flags,
      reserved: NONE,
    };
    requestRecord.write(payload, asked);
    const status = await session.ioctl(Ioctl.REQBUFS, payload);
    return { status, first: 0, count: status === 0 ? requestRecord.read(payload).count : 0 };
  };
  return guarded(session, request, { type, memory }, async () => {
    const old = session.queues.get(type);
    if (count > 0) return allocate(session, request, type, memory, issue);
    const { status } = await issue(old?.backing ?? 'unmapped', request.payload);
    if (status === 0 && old) session.forget(old);
    return status;
  });
}

/**
 * VIDIOC_CREATE_BUFS. Payload: struct v4l2_create_buffers (256 bytes), and back on success, with the guest's memory
 * type and with the capabilities that the guest has.
 *
 * Errnos of its own: EINVAL for overlay types, a memory type that is not offered or is not the queue's, or a format
 * that the policy denies; ENOBUFS if the queue has policy.maxBuffers; ENOMEM if the limits leave no bytes, or if SHM
 * region 0 is full. All others come from the driver (vb2_create_bufs).
 *
 * A count of 0 makes no buffer: the kernel only checks the rest.
 */
export async function createBuffers(session: Session, request: IoctlRequest): Promise<Answer> {
  const { count, memory, format: wanted, flags } = createRecord.read(request.payload);
  const { type } = format.read(wanted);
  if (isOverlay(type) || !isOffered(session, memory)) return { status: Errno.EINVAL };
  if (!isFormatAllowed(session, Buffer.from(wanted))) return { status: Errno.EINVAL };
  const issue: Issue = async (backing, payload) => {
    const blank = createRecord.read(Buffer.alloc(createRecord.size));
    const granted = grantable(session, [...session.queues.values()], wanted, count);
    createRecord.write(payload, {
      ...blank,
      count: granted,
      memory: backings[backing].host,
      format: wanted,
      flags,
    });
    const isFull = (session.queues.get(type)?.count ?? 0) >= session.context.policy.maxBuffers;
    const judged = await session.ioctl(Ioctl.CREATE_BUFS, payload);
    // With a count of 0, the kernel makes no buffers and still checks the rest of the request.
    const refusal = isFull ? Errno.ENOBUFS : Errno.ENOMEM;
    const status = judged === 0 && count > 0 && granted === 0 ? refusal : judged;
    const made = createRecord.read(payload);
    return { status, first: made.index, count: status === 0 ? made.count : 0 };
  };
  return guarded(session, request, { type, memory }, async () => {
    const queue = session.queues.get(type);
    if (queue && queue.memory !== memory) return Errno.EINVAL;
    if (count > 0 && queue) return extend(session, request, queue, issue);
    if (count > 0) return allocate(session, request, type, memory, issue);
    const backing = queue?.backing ?? usableBackings(session, type, memory).at(-1);
    return backing ? (await issue(backing, request.payload)).status : Errno.EINVAL;
  });
}

/**
 * Runs the allocation while the watcher ignores the queue, and answers when the driver has processed all events. The
 * Linux driver replaces its array of buffers after the answer, so an event of an old buffer must not come after it.
 */
async function guarded(
  session: Session,
  request: IoctlRequest,
  { type, memory }: { type: number; memory: number },
  run: () => Promise<number>,
): Promise<Answer> {
  const { row } = request;
  await session.arm(session.queues.get(type));
  const status = await run().finally(() => {
    session.claim(0);
  });
  await session.arm();
  if (status !== 0) return { status };
  const { remaining } = request.command;
  if (row.nr === Ioctl.REQBUFS) await session.quiet(remaining, stale.framesOf(type));
  else await session.context.events.barrier(remaining);
  restoreGuestView(session, request, memory);
  return { status, payload: [request.payload] };
}

/** Makes a new queue, with the first backing that the driver accepts and that passes its trial. 0, or an errno. */
async function allocate(
  session: Session,
  request: IoctlRequest,
  type: number,
  memory: number,
  issue: Issue,
): Promise<number> {
  const usable = usableBackings(session, type, memory);
  for (const backing of usable) {
    const { status, count, first } = await issue(backing, request.payload);
    if (status === Errno.EINVAL && backing !== usable.at(-1)) continue;
    if (status === Errno.EBUSY || status === Errno.EINVAL) return status;
    // If the bridge refused, the driver still has the old buffers, but the guest has freed them.
    if (status !== 0) return failed(session, type, status);
    const old = session.queues.get(type);
    if (old) session.forget(old);
    const queue = new BufferQueue(type, backing);
    session.addQueue(queue);
    const errno = await adoptBuffers(session, queue, first, count);
    if (errno !== 0) return failed(session, type, errno);
    const trial = await tryOut(session, queue);
    if (trial === 'sound') return 0;
    const undone = await undo(session, type);
    if (undone !== 0) return undone;
    if (trial === 'again') return allocate(session, request, type, memory, issue);
    if (isFailure(trial)) return trial.errno;
  }
  return Errno.EINVAL;
}

/** CREATE_BUFS on a queue that has buffers. Resolves to 0 or an errno. */
async function extend(
  session: Session,
  request: IoctlRequest,
  queue: BufferQueue,
  issue: Issue,
): Promise<number> {
  const { status, first, count } = await issue(queue.backing, request.payload);
  if (status !== 0) return status;
  const largest = Math.max(1, ...[...queue.buffers.values()].map(({ bytes }) => bytes));
  const each = Math.max(largest, bufferBytes(createRecord.read(request.payload).format));
  const errno = await adoptBuffers(session, queue, first, count);
  if (errno === 0) return 0;
  // The kernel keeps these buffers. The guest's requests for their indices are refused, but their bytes count.
  for (let index = first; index < first + count; index++) session.forgetBuffer(queue, index);
  queue.refuse(count, count * each);
  return errno;
}

async function failed(session: Session, type: number, errno: number): Promise<number> {
  await undo(session, type);
  return errno;
}

/**
 * REQBUFS(0), because the guest will be told that it has no buffers. If it fails, buffers and queue stay. 0, or an
 * errno.
 */
async function undo(session: Session, type: number): Promise<number> {
  const queue = session.queues.get(type);
  if (!queue) return 0;
  await session.arm(queue);
  const asked = {
    count: 0,
    type,
    memory: backings[queue.backing].host,
    capabilities: 0,
    flags: 0,
    reserved: NONE,
  };
  const status = await session.ioctl(Ioctl.REQBUFS, requestRecord.encode(asked));
  if (status === 0) session.forget(queue);
  return status;
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

/** Hidden, because the Linux driver would show the bit to programs but has no such ioctl. */
const HIDDEN = BufferCapability.REMOVE_BUFS;

/**
 * The buffer capabilities that the guest has, from those of the host's driver. USERPTR: with SHARED_PAGES, for every
 * driver. DMABUF: with objects, if the driver can import. REQUESTS: with request handles. 0: the driver reports no
 * capabilities (v4l2loopback), so the bridge reports none.
 */
function capabilitiesOf({ sharedPages, objects, requests }: SessionContext, host: number): number {
  const { USERPTR, DMABUF, REQUESTS } = BufferCapability;
  const absent = (objects ? 0 : DMABUF) | (requests?.mode === 'handles' ? 0 : REQUESTS);
  const own = host & ~(HIDDEN | USERPTR | absent);
  return host === 0 ? 0 : (own | (sharedPages ? USERPTR : 0)) >>> 0;
}

/** Writes the guest's view into the answer: its memory type, its capabilities, and at most policy.maxBuffers. */
function restoreGuestView({ context }: Session, { row, payload }: IoctlRequest, memory: number): void {
  const record = row.nr === Ioctl.REQBUFS ? requestRecord : createRecord;
  payload.writeUInt32LE(memory, record.offset.memory);
  const capabilities = payload.readUInt32LE(record.offset.capabilities);
  payload.writeUInt32LE(capabilitiesOf(context, capabilities), record.offset.capabilities);
  if (row.nr !== Ioctl.CREATE_BUFS || !(capabilities & BufferCapability.MAX_NUM_BUFFERS)) return;
  const most = payload.readUInt32LE(createRecord.offset.maxNumBuffers);
  payload.writeUInt32LE(Math.min(most, context.policy.maxBuffers), createRecord.offset.maxNumBuffers);
}
