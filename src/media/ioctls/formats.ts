/** Formats. For the guest, the driver lacks those that the operator denies (`--allow-formats`, `--deny-formats`). */
import { Errno } from '../../errno.js';
import { failure, isFailure, type Result } from '../../result.js';
import { encoded } from '../../struct.js';
import { isCapture, isOverlay } from '../../v4l2/buffer-type.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { BufferType, FMTDESC_ENUM_ALL, fmtdesc, format, frmsizeenum } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import { allows, isOpen } from '../policy.js';
import type { Session } from '../session.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

/** Most formats of one buffer type that are enumerated. V4L2 has no limit. */
const MAX_FORMATS = 1024;

/** Byte offset of the fourcc in struct v4l2_format, by buffer type. VBI types have no fourcc that selects a format. */
const fourccAt: Readonly<Record<number, number>> = {
  [BufferType.VIDEO_CAPTURE]: 16,
  [BufferType.VIDEO_OUTPUT]: 16,
  [BufferType.VIDEO_CAPTURE_MPLANE]: 16,
  [BufferType.VIDEO_OUTPUT_MPLANE]: 16,
  [BufferType.SDR_CAPTURE]: 8,
  [BufferType.SDR_OUTPUT]: 8,
  [BufferType.META_CAPTURE]: 8,
  [BufferType.META_OUTPUT]: 8,
};

/** Whether the policy permits the fourcc of `wanted`, a struct v4l2_format (208 bytes). True: a type without fourcc. */
export function isFormatAllowed({ context: { policy } }: Session, wanted: Buffer): boolean {
  const at = fourccAt[format.read(wanted).type];
  return at === undefined || allows(policy.formats, wanted.readUInt32LE(at));
}

/** The current format (G_FMT): a struct v4l2_format (208 bytes). */
export async function currentFormat(session: Session, type: number): Promise<Result<Buffer>> {
  const current = encoded(format, { type });
  const errno = await session.ioctl(Ioctl.G_FMT, current);
  return errno === 0 ? current : failure(errno);
}

/** Whether the policy permits the current format of the node. Another program may have set it. */
export async function isCurrentAllowed(session: Session, type: number): Promise<boolean> {
  if (isOpen(session.context.policy.formats) || fourccAt[type] === undefined) return true;
  const current = await currentFormat(session, type);
  // If the node has no current format, it refuses frames itself.
  return isFailure(current) || isFormatAllowed(session, current);
}

/**
 * VIDIOC_G_FMT, VIDIOC_S_FMT and VIDIOC_TRY_FMT. Payload: struct v4l2_format (208 bytes), and back on success.
 *
 * EINVAL of its own: overlay types, because they embed pointers, and S/TRY_FMT if no permitted format results.
 * All others come from the driver. G_FMT answers the current format even if the policy denies it.
 */
export async function formatIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const { type } = format.read(payload);
  if (isOverlay(type)) return { status: Errno.EINVAL };
  const at = fourccAt[type];
  const isFree = row.nr === Ioctl.G_FMT || at === undefined || isOpen(session.context.policy.formats);
  const answer = isFree
    ? reply(request, await session.ioctl(row.nr, payload))
    : await adjust(session, request, at);
  if (row.nr === Ioctl.S_FMT && answer.status === 0 && at !== undefined && !isCapture(type))
    session.requests?.formatSet(payload.readUInt32LE(at));
  return answer;
}

/** S/TRY_FMT: the first permitted format replaces a denied one, as a driver does with a format that it lacks. */
async function adjust(session: Session, request: IoctlRequest, at: number): Promise<Answer> {
  const { row, payload } = request;
  const asked = Buffer.from(payload);
  if (isFormatAllowed(session, asked)) {
    const status = await session.ioctl(row.nr, payload);
    if (status !== 0 || isFormatAllowed(session, payload)) return reply(request, status);
  }
  const first = await listed(session, { type: format.read(asked).type, index: 0 });
  if (isFailure(first)) return { status: Errno.EINVAL };
  asked.copy(payload);
  payload.writeUInt32LE(fmtdesc.read(first).pixelformat, at);
  const status = await session.ioctl(row.nr, payload);
  return reply(request, status === 0 && !isFormatAllowed(session, payload) ? Errno.EINVAL : status);
}

/**
 * VIDIOC_ENUM_FMT. Payload: struct v4l2_fmtdesc (64 bytes), and back on success. Denied formats are left out, and the
 * indices of the others have no gaps. EINVAL: past the end of the list.
 */
export async function enumerateFormats(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  if (isOpen(session.context.policy.formats)) return reply(request, await session.ioctl(row.nr, payload));
  const found = await listed(session, fmtdesc.read(payload));
  if (isFailure(found)) return { status: found.errno };
  found.copy(payload);
  return reply(request, 0);
}

/** The struct v4l2_fmtdesc at `index` of the guest's list. EINVAL: past the end. */
async function listed(
  session: Session,
  { type, index, mbusCode = 0 }: { type: number; index: number; mbusCode?: number },
): Promise<Result<Buffer>> {
  const flag = index & FMTDESC_ENUM_ALL;
  let before = (index & ~FMTDESC_ENUM_ALL) >>> 0;
  for (let number = 0; number < MAX_FORMATS; number++) {
    const payload = encoded(fmtdesc, { type, mbusCode, index: (number | flag) >>> 0 });
    const status = await session.ioctl(Ioctl.ENUM_FMT, payload);
    if (status !== 0) return failure(status);
    const { pixelformat, index: answered } = fmtdesc.read(payload);
    if (!allows(session.context.policy.formats, pixelformat) || before-- > 0) continue;
    // A kernel that knows the flag FMTDESC_ENUM_ALL clears it in its answer.
    payload.writeUInt32LE(((index & ~FMTDESC_ENUM_ALL) | (answered & FMTDESC_ENUM_ALL)) >>> 0, 0);
    return payload;
  }
  return failure(Errno.EINVAL);
}

/**
 * VIDIOC_ENUM_FRAMESIZES and VIDIOC_ENUM_FRAMEINTERVALS. Payload: struct v4l2_frmsizeenum (44 bytes) or
 * v4l2_frmivalenum (52 bytes), and back on success. Both have the fourcc at the same offset. EINVAL of its own: a
 * denied format.
 */
export async function enumerateFrames(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const fourcc = payload.readUInt32LE(frmsizeenum.offset.pixelFormat);
  if (!allows(session.context.policy.formats, fourcc)) return { status: Errno.EINVAL };
  return reply(request, await session.ioctl(row.nr, payload));
}
