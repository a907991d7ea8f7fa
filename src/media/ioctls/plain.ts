/** Ioctls whose payload passes unchanged, except for a field or for data that follows it. */
import { Errno } from '../../errno.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import { streamparm, TunerCapability } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import type { Session } from '../session.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

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
