/** QUERYBUF, QBUF and PREPARE_BUF: the record, its planes, what its memory type adds, and back. */
import { Errno } from '../../errno.js';
import type { NodeCall } from '../../native.js';
import { isMultiplanar } from '../../v4l2/buffer-type.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { BufferFlag, buffer, plane, VIDEO_MAX_PLANES } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import type { BufferCall } from '../memory/memory-type.js';
import { memoryTypes } from '../memory/types.js';
import { latePrepared, lateQueued, queueAgain } from '../queues/late-buffer.js';
import type { Session } from '../session.js';
import { type IoctlRequest, refuse } from './ioctl-request.js';

type BufferIoctl = NodeCall & { kind: 'buffer' };

export async function bufferIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, command } = request;
  const call = readCall(session, request);
  if (!call) return refuse(request, Errno.EINVAL);
  const isUnwanted = row.nr === Ioctl.QBUF && call.queue.abandoned.has(call.vb.index);
  const wanted = isUnwanted ? await queueAgain(call) : row;
  if (typeof wanted === 'number') return refuse(request, wanted);
  const memoryType = memoryTypes[call.queue.memory]!;
  const attached = await memoryType.attach(call);
  if (typeof attached === 'number') return refuse(request, attached);
  const { host, settle } = attached;
  const ioctl: BufferIoctl = { kind: 'buffer', nr: wanted.nr, ...host };
  const status = await issue(call, ioctl);
  settle?.(status);
  if (status !== 0) return refuse(request, status);
  if (row.nr === Ioctl.QBUF) queued(call, ioctl);
  const answer = { status, payload: memoryType.restore(call, host) };
  return command.answered ? { ...answer, ...late[row.nr]?.(call, memoryType, host) } : answer;
}

const late: Readonly<Record<number, typeof lateQueued>> = {
  [Ioctl.QBUF]: lateQueued,
  [Ioctl.PREPARE_BUF]: latePrepared,
};

/** Runs the ioctl; an OUTPUT buffer in a request, where the node wants one. */
function issue({ session, queue, vb, request: handle }: BufferCall, ioctl: BufferIoctl): Promise<number> {
  const { requests, handles } = session;
  if (ioctl.nr !== Ioctl.QBUF) return session.call(ioctl);
  const request = handles?.find(handle);
  if (request !== undefined) return session.call({ ...ioctl, request });
  return !requests || queue.isCapture ? session.call(ioctl) : requests.queue(vb.index, ioctl);
}

/** The driver has the buffer. */
function queued({ session, queue, vb, request }: BufferCall, ioctl: BufferIoctl): void {
  // An object's descriptor is the table's, which may have another one by then; a request is used up.
  const isRepeatable = !ioctl.descriptors && request === 0 && (queue.isCapture || !session.requests);
  vb.queued(request, ioctl.nr === Ioctl.QBUF ? (isRepeatable ? ioctl : null) : vb.ioctl);
  queue.enqueue(vb.index);
}

/** Null: not a request that the kernel would take. */
function readCall(session: Session, { row, payload, rest }: IoctlRequest): BufferCall | null {
  const { type, index, memory, length, flags, requestFd } = buffer.read(payload);
  const planes = isMultiplanar(type) ? length : 0;
  if (planes > VIDEO_MAX_PLANES || rest.length < planes * plane.size) return null;
  const queue = session.queues.get(type);
  const vb = queue?.buffers.get(index);
  if (!queue || !vb) return null;
  // vb2 takes more plane records than it has planes, never fewer.
  if (queue.isMultiplanar && length < vb.planes.length) return null;
  // QUERYBUF looks at neither memory type nor flags; the others do.
  if (row.nr !== Ioctl.QUERYBUF && memory !== queue.memory) return null;
  const isForRequest = row.nr !== Ioctl.QUERYBUF && (flags & BufferFlag.REQUEST_FD) !== 0;
  if (isForRequest && (row.nr !== Ioctl.QBUF || session.handles?.find(requestFd) === undefined)) return null;
  const guest = {
    record: payload,
    planes: Buffer.from(rest.subarray(0, planes * plane.size)),
    rest: rest.subarray(planes * plane.size),
  };
  return { session, queue, vb, guest, nr: row.nr, request: isForRequest ? requestFd : 0 };
}
