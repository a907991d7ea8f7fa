/** Ioctls whose payload crosses as it is, but for a field or what follows it. */
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

/** No pointer, and nothing that follows. */
export async function plain(session: Session, request: IoctlRequest): Promise<Answer> {
  return reply(request, await session.ioctl(request.row.nr, request.payload));
}

/** G/S_PARM: read() is not offered, so there are no read buffers. */
export async function parm(session: Session, request: IoctlRequest): Promise<Answer> {
  const { payload } = request;
  const at = streamparm.offset.readbuffers;
  payload.writeUInt32LE(0, at);
  const answer = await plain(session, request);
  payload.writeUInt32LE(0, at);
  return answer;
}

/** Where `capability` is in struct v4l2_tuner, v4l2_modulator and v4l2_frequency_band. */
const capabilityAt: Readonly<Record<number, number>> = {
  [Ioctl.G_TUNER]: 40,
  [Ioctl.G_MODULATOR]: 36,
  [Ioctl.ENUM_FREQ_BANDS]: 12,
};

/** G_TUNER, G_MODULATOR, ENUM_FREQ_BANDS: RDS is there only by controls, as its blocks go by read() and write(). */
export async function tuner(session: Session, request: IoctlRequest): Promise<Answer> {
  const { payload, row } = request;
  const answer = await plain(session, request);
  const at = capabilityAt[row.nr]!;
  const own = payload.readUInt32LE(at);
  const absent = own & TunerCapability.RDS_CONTROLS ? 0 : TunerCapability.RDS;
  payload.writeUInt32LE((own & ~(TunerCapability.RDS_BLOCK_IO | absent)) >>> 0, at);
  return answer;
}

/** QUERY_DV_TIMINGS: what was measured comes back on errors too (ENOLINK, ENOLCK, ERANGE). */
export async function timings(session: Session, { row, payload }: IoctlRequest): Promise<Answer> {
  const status = await session.ioctl(row.nr, payload);
  return { status, payload: status === Errno.ENOTTY ? [] : [payload] };
}

/** ENCODER_CMD and DECODER_CMD. START after a drain lets the CAPTURE queue go on: the kernel's LAST state is cleared (vb2_clear_last_buffer_dequeued). */
export async function codecIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const status = await session.ioctl(request.row.nr, request.payload);
  if (status === 0 && request.payload.readUInt32LE(0) === CODEC_CMD_START) {
    for (const queue of session.queues.values()) queue.goOn();
    await session.rearm();
  }
  return reply(request, status);
}

/** G_EDID and S_EDID: the blocks follow the structure in both parts; both come back on errors, as the kernel does it. */
export async function edidIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload, rest } = request;
  const { blocks: count } = edid.read(payload);
  if (count > MAX_EDID_BLOCKS) return refuse(request, Errno.EINVAL);
  const blocks = Buffer.alloc(count * EDID_BLOCK);
  rest.copy(blocks);
  const status = await session.call({ kind: 'edid', nr: row.nr, edid: payload, blocks });
  return { status, payload: status === Errno.ENOTTY ? [] : [payload, blocks] };
}
