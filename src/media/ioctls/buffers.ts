/** QUERYBUF, QBUF and PREPARE_BUF. The request has the v4l2_buffer, its planes, and then what the memory type adds. */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { failure, isFailure, type Result } from '../../result.js';
import { isMultiplanar } from '../../v4l2/buffer-type.js';
import { Ioctl, ioctls } from '../../v4l2/ioctls.js';
import { BufferFlag, buffer, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import type { BufferCall } from '../memory/memory-type.js';
import { memoryTypes } from '../memory/types.js';
import { latePrepared, lateQueued, queueAgain } from '../queues/late-buffer.js';
import type { Session } from '../session.js';
import { type IoctlRequest, refuse } from './ioctl-request.js';

type BufferIoctl = NodeCall & { kind: 'buffer' };

/**
 * VIDIOC_QUERYBUF, VIDIOC_QBUF and VIDIOC_PREPARE_BUF.
 *
 * Payload: struct v4l2_buffer (88 bytes). For multiplanar types, `length` records of struct v4l2_plane (64 bytes
 * each) follow. QBUF and PREPARE_BUF continue with one SG list for each plane (SHARED_PAGES) or one UUID of 16 bytes
 * for each plane (objects). The answer has the buffer, the planes and the UUIDs, also with an errno, because the Linux
 * driver loses the errno without them.
 *
 * EINVAL of its own: no such queue or index, fewer plane records than planes or more than VIDEO_MAX_PLANES, another
 * memory type than the queue's, a request handle that does not exist or comes with PREPARE_BUF, QBUF of an abandoned
 * buffer that the driver keeps. EBUSY: no implicit request is free. The memory type adds errnos, for example EFAULT
 * for pages outside guest memory. All others come from the driver.
 *
 * Source: vb2_querybuf, vb2_qbuf and vb2_prepare_buf of the kernel; VIRTIO 1.4, Media Device, "V4L2 ioctls".
 */
export async function bufferIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, command } = request;
  const call = readCall(session, request);
  if (isFailure(call)) return refuse(request, call.errno);
  const isAbandoned = row.nr === Ioctl.QBUF && call.queue.abandoned.has(call.vb.index);
  const nr = isAbandoned ? await queueAgain(call) : row.nr;
  if (isFailure(nr)) return refuse(request, nr.errno);
  const memoryType = memoryTypes[call.queue.memory]!;
  const attached = await memoryType.attach(call);
  if (isFailure(attached)) return refuse(request, attached.errno);
  const { host, settle } = attached;
  const ioctl: BufferIoctl = { kind: 'buffer', nr, ...host };
  const status = await issue(call, ioctl);
  settle?.(status);
  if (status !== 0) return refuse(request, status);
  if (row.nr === Ioctl.QBUF) queued(call, ioctl);
  const answer = { status, payload: memoryType.restore(call, host) };
  return command.answered ? { ...answer, ...late[row.nr]?.(call, memoryType, host) } : answer;
}

/** A thread has run QBUF, and its result has come late. `body`: the payload as the guest sent it, and what follows. */
export function lateQueue(session: Session, body: Buffer): Partial<Answer> {
  const row = ioctls.get(Ioctl.QBUF)!;
  const call = readCall(session, { row, payload: body.subarray(0, row.size), rest: body.subarray(row.size) });
  if (isFailure(call)) return {};
  return lateQueued(call, memoryTypes[call.queue.memory]!, { buffer: call.guest.record });
}

const late: Readonly<Record<number, typeof lateQueued>> = {
  [Ioctl.QBUF]: lateQueued,
  [Ioctl.PREPARE_BUF]: latePrepared,
};

/** Runs the ioctl. QBUF uses the guest's request, or an implicit request if the node needs one for OUTPUT buffers. */
function issue({ session, queue, vb, request: handle }: BufferCall, ioctl: BufferIoctl): Promise<number> {
  const { requests, handles } = session;
  if (ioctl.nr !== Ioctl.QBUF) return session.call(ioctl);
  const request = handles?.find(handle);
  if (request !== undefined) return session.call({ ...ioctl, request });
  return !requests || queue.isCapture ? session.call(ioctl) : requests.queue(vb.index, ioctl);
}

/** QBUF has succeeded: the driver has the buffer. */
function queued({ session, queue, vb, request }: BufferCall, ioctl: BufferIoctl): void {
  // The ioctl is kept only if it can be repeated. The table may replace an object's descriptor; a request works once.
  const isRepeatable = !ioctl.descriptors && request === 0 && (queue.isCapture || !session.requests);
  vb.queued(request, ioctl.nr === Ioctl.QBUF ? (isRepeatable ? ioctl : null) : vb.ioctl);
  queue.enqueue(vb.index);
}

/** Checks the request against its queue. EINVAL: the kernel would refuse it. */
function readCall(
  session: Session,
  { row, payload, rest }: Pick<IoctlRequest, 'row' | 'payload' | 'rest'>,
): Result<BufferCall> {
  const { type, index, memory, length, flags, requestFd } = buffer.read(payload);
  const planes = isMultiplanar(type) ? length : 0;
  if (planes > VIDEO_MAX_PLANES || rest.length < planes * plane.size) return failure(Errno.EINVAL);
  const queue = session.queues.get(type);
  const vb = queue?.buffers.get(index);
  if (!queue || !vb) return failure(Errno.EINVAL);
  // vb2 accepts more plane records than the buffer has planes, but not fewer.
  if (queue.isMultiplanar && length < vb.planes.length) return failure(Errno.EINVAL);
  // QBUF and PREPARE_BUF check the memory type and the flags. QUERYBUF does not.
  if (row.nr !== Ioctl.QUERYBUF && memory !== queue.memory) return failure(Errno.EINVAL);
  const isForRequest = row.nr !== Ioctl.QUERYBUF && (flags & BufferFlag.REQUEST_FD) !== 0;
  if (isForRequest && (row.nr !== Ioctl.QBUF || session.handles?.find(requestFd) === undefined))
    return failure(Errno.EINVAL);
  const guest = {
    record: payload,
    planes: Buffer.from(rest.subarray(0, planes * plane.size)),
    rest: rest.subarray(planes * plane.size),
  };
  return { session, queue, vb, guest, nr: row.nr, request: isForRequest ? requestFd : 0 };
}
