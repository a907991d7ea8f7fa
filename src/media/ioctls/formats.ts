/** Formats, as far as the operator lets the guest have them (`--allow-formats`, `--deny-formats`): a driver seems to lack the others. */
import { Errno } from '../../errno.js';
import { isOverlay } from '../../v4l2/buffer-type.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { BufferType, FMTDESC_ENUM_ALL, fmtdesc, format, frmsizeenum } from '../../v4l2/layout.js';

import type { Answer } from '../commands/command.js';
import { allows, isOpen } from '../policy.js';
import type { Session } from '../session.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

/** Of one buffer type; V4L2 names no bound. */
const MAX_FORMATS = 1024;

/** Where struct v4l2_format has the fourcc. VBI types are not chosen by one. */
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

/** Whether the guest may have buffers of a struct v4l2_format. */
export function isFormatAllowed({ context: { policy } }: Session, wanted: Buffer): boolean {
  const at = fourccAt[format.read(wanted).type];
  return at === undefined || allows(policy.formats, wanted.readUInt32LE(at));
}

/** What the node is set to: zeros beyond the type where it does not say. */
export async function currentFormat(session: Session, type: number): Promise<Buffer> {
  const current = format.encode({ type, pad4: 0, fmt: new Uint8Array(0) });
  await session.ioctl(Ioctl.G_FMT, current);
  return current;
}

/** Whether the guest may have frames of what the node is set to, by whomever. */
export async function isCurrentAllowed(session: Session, type: number): Promise<boolean> {
  if (isOpen(session.context.policy.formats) || fourccAt[type] === undefined) return true;
  const current = format.encode({ type, pad4: 0, fmt: new Uint8Array(0) });
  // Without a format there are no frames: the node says so itself.
  return (await session.ioctl(Ioctl.G_FMT, current)) !== 0 || isFormatAllowed(session, current);
}

/** G/S/TRY_FMT: overlay types embed pointers. G_FMT tells the truth, also where the node was left at what is denied. */
export async function formatIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const { type } = format.read(payload);
  if (isOverlay(type)) return { status: Errno.EINVAL };
  const at = fourccAt[type];
  if (row.nr === Ioctl.G_FMT || at === undefined || isOpen(session.context.policy.formats))
    return reply(request, await session.ioctl(row.nr, payload));
  return adjust(session, request, at);
}

/** S/TRY_FMT: what is asked for, or the first format of the guest's list, as a driver answers what it does not have. */
async function adjust(session: Session, request: IoctlRequest, at: number): Promise<Answer> {
  const { row, payload } = request;
  const asked = Buffer.from(payload);
  if (isFormatAllowed(session, asked)) {
    const status = await session.ioctl(row.nr, payload);
    if (status !== 0 || isFormatAllowed(session, payload)) return reply(request, status);
  }
  const first = await listed(session, { type: format.read(asked).type, index: 0 });
  if (typeof first === 'number') return { status: Errno.EINVAL };
  asked.copy(payload);
  payload.writeUInt32LE(fmtdesc.read(first).pixelformat, at);
  const status = await session.ioctl(row.nr, payload);
  return reply(request, status === 0 && !isFormatAllowed(session, payload) ? Errno.EINVAL : status);
}

/** ENUM_FMT: the list is dense without what is denied. */
export async function enumerateFormats(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  if (isOpen(session.context.policy.formats)) return reply(request, await session.ioctl(row.nr, payload));
  const found = await listed(session, fmtdesc.read(payload));
  if (typeof found === 'number') return { status: found };
  found.copy(payload);
  return reply(request, 0);
}

/** The format with this index in the guest's list, or an errno. */
async function listed(
  session: Session,
  { type, index, mbusCode = 0 }: { type: number; index: number; mbusCode?: number },
): Promise<Buffer | number> {
  const flag = index & FMTDESC_ENUM_ALL;
  let before = (index & ~FMTDESC_ENUM_ALL) >>> 0;
  for (let number = 0; number < MAX_FORMATS; number++) {
    const payload = fmtdesc.encode({ ...blank, type, mbusCode, index: (number | flag) >>> 0 });
    const status = await session.ioctl(Ioctl.ENUM_FMT, payload);
    if (status !== 0) return status;
    const { pixelformat, index: answered } = fmtdesc.read(payload);
    if (!allows(session.context.policy.formats, pixelformat) || before-- > 0) continue;
    // A kernel that knows the flag clears it.
    payload.writeUInt32LE(((index & ~FMTDESC_ENUM_ALL) | (answered & FMTDESC_ENUM_ALL)) >>> 0, 0);
    return payload;
  }
  return Errno.EINVAL;
}

const blank = fmtdesc.read(Buffer.alloc(fmtdesc.size));

/** ENUM_FRAMESIZES and ENUM_FRAMEINTERVALS: both have the fourcc in the same place. */
export async function enumerateFrames(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const fourcc = payload.readUInt32LE(frmsizeenum.offset.pixelFormat);
  if (!allows(session.context.policy.formats, fourcc)) return { status: Errno.EINVAL };
  return reply(request, await session.ioctl(row.nr, payload));
}
