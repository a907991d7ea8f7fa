/** Ioctls whose payload passes unchanged, except for a field or for data that follows it. */
import { Errno } from '../../errno.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import {
  CODEC_CMD_START,
  EDID_BLOCK,
  edid,
  MAX_EDID_BLOCKS,
  streamparm,
  TunerCapability,
} from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import type { Session } from '../session.js';
import { type IoctlRequest, refuse, reply } from './ioctl-request.js';

/** An ioctl without pointers and without data after its payload. Errnos are the driver's. */
export async function plain(session: Session, request: IoctlRequest): Promise<Answer> {
  return reply(request, await session.ioctl(request.row.nr, request.payload));
}

/** VIDIOC_G_PARM and VIDIOC_S_PARM. `readbuffers` is always 0, because the device does not offer read(). */
export async function parm(session: Session, request: IoctlRequest): Promise<Answer> {
  const { payload } = request;
  const at = streamparm.offset.readbuffers;
  payload.writeUInt32LE(0, at);
  const answer = await plain(session, request);
  payload.writeUInt32LE(0, at);
  return answer;
}

/** Byte offset of `capability` in struct v4l2_tuner, v4l2_modulator and v4l2_frequency_band. */
const capabilityAt: Readonly<Record<number, number>> = {
  [Ioctl.G_TUNER]: 40,
  [Ioctl.G_MODULATOR]: 36,
  [Ioctl.ENUM_FREQ_BANDS]: 12,
};

/**
 * VIDIOC_G_TUNER, VIDIOC_G_MODULATOR and VIDIOC_ENUM_FREQ_BANDS. The guest sees RDS only if the driver has it as
 * controls, because RDS blocks need read() and write().
 */
export async function tuner(session: Session, request: IoctlRequest): Promise<Answer> {
  const { payload, row } = request;
  const answer = await plain(session, request);
  const at = capabilityAt[row.nr]!;
  const own = payload.readUInt32LE(at);
  const absent = own & TunerCapability.RDS_CONTROLS ? 0 : TunerCapability.RDS;
  payload.writeUInt32LE((own & ~(TunerCapability.RDS_BLOCK_IO | absent)) >>> 0, at);
  return answer;
}

/** VIDIOC_QUERY_DV_TIMINGS. Errors but ENOTTY are answered with the measured timings (ENOLINK, ENOLCK, ERANGE). */
export async function timings(session: Session, { row, payload }: IoctlRequest): Promise<Answer> {
  const status = await session.ioctl(row.nr, payload);
  return { status, payload: status === Errno.ENOTTY ? [] : [payload] };
}

/**
 * VIDIOC_ENCODER_CMD and VIDIOC_DECODER_CMD. After a drain, START lets the CAPTURE queue go on, because the kernel
 * clears its LAST state (vb2_clear_last_buffer_dequeued).
 */
export async function codecIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const status = await session.ioctl(request.row.nr, request.payload);
  if (status === 0 && request.payload.readUInt32LE(0) === CODEC_CMD_START) {
    for (const queue of session.queues.values()) queue.goOn();
    await session.rearm();
  }
  return reply(request, status);
}

/**
 * VIDIOC_G_EDID and VIDIOC_S_EDID. Payload: struct v4l2_edid (40 bytes), then its blocks of 128 bytes each, in the
 * request and in the answer. On errors both are answered too, as the kernel does, but not on ENOTTY. EINVAL of its
 * own: more than MAX_EDID_BLOCKS.
 */
export async function edidIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload, rest } = request;
  const { blocks: count } = edid.read(payload);
  if (count > MAX_EDID_BLOCKS) return refuse(request, Errno.EINVAL);
  const blocks = Buffer.alloc(count * EDID_BLOCK);
  rest.copy(blocks);
  const status = await session.call({ kind: 'edid', nr: row.nr, edid: payload, blocks });
  return { status, payload: status === Errno.ENOTTY ? [] : [payload, blocks] };
}
