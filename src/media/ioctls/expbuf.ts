/** EXPBUF: a plane as an object. Its UUID follows the structure, whose descriptor field stays the guest's. */
import { Errno } from '../../errno.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { exportBuffer, Memory } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import type { Session } from '../session.js';
import type { IoctlRequest } from './ioctl-request.js';

const O_ACCMODE = 3;
const O_RDWR_CLOEXEC = 0o2000002;

export async function exportIoctl(session: Session, { payload }: IoctlRequest): Promise<Answer> {
  const { objects } = session.context;
  if (!objects) return { status: Errno.ENOTTY };
  const { type, index, plane: number, flags, fd: guestFd } = exportBuffer.read(payload);
  const queue = session.queues.get(type);
  const plane = queue?.memory === Memory.MMAP ? queue.buffers.get(index)?.planes[number] : undefined;
  if (!plane) return { status: Errno.EINVAL };
  // Each time: the kernel's answer is the permission check.
  const fd = await exportPlane(session, type, index, number, flags);
  if (fd < 0) return { status: -fd };
  const exported = objects.export(fd, flags & O_ACCMODE, plane.exported);
  plane.export(exported);
  payload.writeInt32LE(guestFd, exportBuffer.offset.fd);
  return { status: 0, payload: [payload, exported.uuid] };
}

/** A DMABUF of one plane, or -errno. Never cached: the kernel's answer is the permission check. */
export async function exportPlane(
  session: Session,
  type: number,
  index: number,
  number: number,
  flags: number = O_RDWR_CLOEXEC,
): Promise<number> {
  const record = exportBuffer.encode({ type, index, plane: number, flags, fd: 0, reserved: NONE });
  const errno = await session.ioctl(Ioctl.EXPBUF, record);
  return errno === 0 ? exportBuffer.read(record).fd : -errno;
}

const NONE = new Uint8Array(0);
