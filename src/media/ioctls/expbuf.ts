/** EXPBUF: exports a plane as an object. Its UUID follows the structure, in which `fd` stays as the guest set it. */
import { Errno } from '../../errno.js';
import { failure, isFailure, type Result } from '../../result.js';
import { NONE } from '../../struct.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { exportBuffer, Memory } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import type { Session } from '../session.js';
import type { IoctlRequest } from './ioctl-request.js';

const O_ACCMODE = 3;
const O_RDWR = 2;
const O_RDWR_CLOEXEC = 0o2000002;

/**
 * VIDIOC_EXPBUF. Payload: struct v4l2_exportbuffer (64 bytes). The answer has it unchanged, then the UUID (16 bytes).
 *
 * Errnos of its own: ENOTTY if the device offers no objects, EINVAL for a plane that does not exist or is not MMAP.
 * All others come from the driver (vb2_core_expbuf).
 */
export async function exportIoctl(session: Session, { payload }: IoctlRequest): Promise<Answer> {
  const { objects } = session.context;
  if (!objects) return { status: Errno.ENOTTY };
  const { type, index, plane: number, flags, fd: guestFd } = exportBuffer.read(payload);
  const queue = session.queues.get(type);
  const plane = queue?.memory === Memory.MMAP ? queue.buffers.get(index)?.planes[number] : undefined;
  if (!plane) return { status: Errno.EINVAL };
  // An object that is exported for reading and for writing can do both.
  const asked = flags & O_ACCMODE;
  const access = plane.exported && plane.exported.access !== asked ? O_RDWR : asked;
  // Exported every time, because the kernel checks the permission then.
  const fd = await exportPlane(session, type, index, number, (flags & ~O_ACCMODE) | access);
  if (isFailure(fd)) return { status: fd.errno };
  const exported = objects.export(fd, access, plane.exported);
  plane.export(exported);
  payload.writeInt32LE(guestFd, exportBuffer.offset.fd);
  return { status: 0, payload: [payload, exported.uuid] };
}

/**
 * Exports one plane as a DMABUF. `number`: index of the plane; `flags`: O_* of open(). Resolves to a descriptor that
 * the caller must close. It is not cached, because the kernel checks the permission with every call.
 */
export async function exportPlane(
  session: Session,
  type: number,
  index: number,
  number: number,
  flags: number = O_RDWR_CLOEXEC,
): Promise<Result<number>> {
  const record = exportBuffer.encode({ type, index, plane: number, flags, fd: 0, reserved: NONE });
  const errno = await session.ioctl(Ioctl.EXPBUF, record);
  return errno === 0 ? exportBuffer.read(record).fd : failure(errno);
}
