/** QUERYBUF, QBUF and PREPARE_BUF: the record, its planes, and back. */
import { Errno } from '../errno.js';
import { Ioctl } from '../v4l2/ioctls.js';
import { BufferFlag, buffer, Memory, plane, VIDEO_MAX_PLANES } from '../v4l2/layout.js';
import { isMultiplanar } from './buffers.js';
import type { Answer } from './command.js';
import { type IoctlRequest, refuse } from './ioctl.js';
import { attach, copyFrame, restore } from './memory/mmap.js';
import type { Session } from './session.js';

export async function bufferIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload, rest } = request;
  const { type, index, memory, length, flags } = buffer.read(payload);
  const planes = isMultiplanar(type) ? length : 0;
  if (planes > VIDEO_MAX_PLANES || rest.length < planes * plane.size) return refuse(request, Errno.EINVAL);
  const queue = session.queues.get(type);
  const held = queue?.buffers.get(index);
  if (!queue || !held) return refuse(request, Errno.EINVAL);
  // vb2 takes more plane records than it has planes, never fewer.
  if (queue.isMultiplanar && length < held.planes.length) return refuse(request, Errno.EINVAL);
  // QUERYBUF does not look at the memory type; the others do. Requests do not cross.
  if (row.nr !== Ioctl.QUERYBUF && memory !== Memory.MMAP) return refuse(request, Errno.EINVAL);
  if (flags & BufferFlag.REQUEST_FD) return refuse(request, Errno.EINVAL);

  const guestPlanes = Buffer.from(rest.subarray(0, planes * plane.size));
  const { shared } = session.context;
  const host = attach(queue, held, payload, guestPlanes, shared);
  if (row.nr === Ioctl.QBUF && !queue.isCapture) copyFrame(queue, held, host, shared);
  const status = await session.call({ kind: 'buffer', nr: row.nr, ...host }, row.speed);
  if (status !== 0) return refuse(request, status);
  if (row.nr === Ioctl.QBUF) queue.queued.add(index);
  return { status, payload: restore(held, host, payload, guestPlanes) };
}
