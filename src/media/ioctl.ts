/** CMD_IOCTL: finds the ioctl's row, takes its payload across, answers. One function for each kind of payload. */
import { Errno } from '../errno.js';
import { Ioctl, type IoctlRow, ioctls, type Payload } from '../v4l2/ioctls.js';
import {
  buffer,
  EDID_BLOCK,
  extControl,
  extControls,
  MAX_CONTROLS,
  MAX_EDID_BLOCKS,
  Memory,
  plane,
  streamparm,
  TunerCapability,
  VIDEO_MAX_PLANES,
} from '../v4l2/layout.js';
import { MAX_READABLE } from '../virtio/chain.js';
import { createBuffers, requestBuffers } from './allocation.js';
import { bufferIoctl } from './buffer-ioctls.js';
import { isMultiplanar } from './buffers.js';
import { codecIoctl } from './codec.js';
import type { Answer, Command } from './command.js';
import { extendedControls, oneControl } from './controls.js';
import { edidIoctl } from './edid.js';
import { execute, type Work } from './execution.js';
import { exportIoctl } from './export.js';
import { enumerateFormats, enumerateFrames, formatIoctl } from './formats.js';
import { queryControl, queryMenu } from './hidden-controls.js';
import { Command as CommandCode, ioctlCommand, mmapCommand, RequestCode, UUID_BYTES } from './protocol.js';
import { removeBuffers } from './removal.js';
import { requestIoctl } from './request-handles.js';
import type { Session } from './session.js';
import { stream } from './stream.js';
import { subscription } from './subscription.js';

/** One ioctl of a guest, copied out of its memory. */
export interface IoctlRequest {
  readonly row: IoctlRow;
  /** Exactly `row.size` bytes: what the guest wrote, or zeros where the direction is `r`. */
  readonly payload: Buffer;
  /** What follows the payload: planes, controls, SG lists. */
  readonly rest: Buffer;
  readonly command: Command;
}

type Handler = (session: Session, request: IoctlRequest) => Promise<Answer>;

const handlers: Readonly<Record<Payload, Handler>> = {
  plain,
  formats: enumerateFormats,
  format: formatIoctl,
  frames: enumerateFrames,
  parm,
  tuner,
  allocate: requestBuffers,
  create: createBuffers,
  remove: removeBuffers,
  buffer: bufferIoctl,
  export: exportIoctl,
  stream,
  codec: codecIoctl,
  query: queryControl,
  menu: queryMenu,
  control: oneControl,
  controls: extendedControls,
  edid: edidIoctl,
  timings,
  subscription,
  request: requestIoctl,
};

const works = Object.fromEntries(
  Object.entries(handlers).map(([payload, run]) => [payload, { refuse, run }]),
) as Readonly<Record<Payload, Work<IoctlRequest>>>;

/** Rows that are not V4L2's: media requests by handles. */
const requestRows: ReadonlyMap<number, IoctlRow> = new Map(
  (
    [
      [RequestCode.ALLOC, 'REQUEST_ALLOC', 'r'],
      [RequestCode.QUEUE, 'REQUEST_QUEUE', 'w'],
      [RequestCode.REINIT, 'REQUEST_REINIT', 'w'],
      [RequestCode.CLOSE, 'REQUEST_CLOSE', 'w'],
    ] as const
  ).map(([nr, name, direction]) => [nr, { nr, name, direction, size: 4, payload: 'request' }]),
);

/** What a device has only where the operator says so. */
export interface Offers {
  readonly objects: boolean;
  readonly handles: boolean;
}

function rowOf(code: number, { objects, handles }: Offers): IoctlRow | undefined {
  const row = ioctls.get(code) ?? (handles ? requestRows.get(code) : undefined);
  return row?.payload === 'export' && !objects ? undefined : row;
}

/**
 * Payloads that reach the guest's program on errors too: the driver copies them out, or hides the errno without them. How
 * many bytes of what follows the structure come back with it at most: SG lists never do.
 */
const echoes: Readonly<Partial<Record<Payload, (request: IoctlRequest) => number>>> = {
  buffer: ({ payload }) => {
    const { type, length, memory } = buffer.read(payload);
    const planes = isMultiplanar(type) ? length * plane.size : 0;
    return memory === Memory.DMABUF ? planes + VIDEO_MAX_PLANES * UUID_BYTES : planes;
  },
  controls: ({ payload }) => Math.min(extControls.read(payload).count, MAX_CONTROLS) * extControl.size,
  edid: () => MAX_EDID_BLOCKS * EDID_BLOCK,
};

/** Bytes that may follow the payload: lists of any length. */
const following: Readonly<Partial<Record<Payload, number>>> = {
  buffer: MAX_READABLE,
  controls: MAX_READABLE,
  edid: MAX_EDID_BLOCKS * EDID_BLOCK,
};

/**
 * Reads the request of an ioctl, or the errno that refuses it. Both forms of an `r` ioctl are taken: the Linux
 * driver sends a payload with G_INPUT and G_OUTPUT.
 */
export function readIoctl(
  command: Command,
  code: number,
  body: Buffer,
  offers: Offers,
): IoctlRequest | number {
  const row = rowOf(code, offers);
  if (!row) return Errno.ENOTTY;
  if (row.direction === 'r') return { row, payload: Buffer.alloc(row.size), rest: Buffer.alloc(0), command };
  if (body.length < row.size) return Errno.EINVAL;
  return { row, payload: Buffer.from(body.subarray(0, row.size)), rest: body.subarray(row.size), command };
}

/** How many bytes of a command mean something, by its first ones. MMAP's older form is the longest of the others. */
export function usefulBytes(head: Buffer, offers: Offers): number {
  const { command, code } = ioctlCommand.read(head);
  if (command !== CommandCode.IOCTL) return mmapCommand.size + 4;
  const row = rowOf(code, offers);
  return ioctlCommand.size + (row ? row.size + (following[row.payload] ?? 0) : 0);
}

/** Runs the ioctl in the session's turn. */
export function runIoctl(session: Session, request: IoctlRequest): Promise<void> {
  return execute(session, request.command, request, works[request.row.payload]);
}

/** An error answer, with the payload as it came where the guest's driver wants one. */
export function refuse(request: IoctlRequest, status: number): Answer {
  const { row, payload, rest } = request;
  const echo = echoes[row.payload];
  return echo ? { status, payload: [payload, rest.subarray(0, echo(request))] } : { status };
}

/** Header and payload on success; header alone on errors (Linux copies nothing out then). */
export function reply({ row, payload }: IoctlRequest, status: number): Answer {
  return status === 0 && row.direction !== 'w' ? { status, payload: [payload] } : { status };
}

async function plain(session: Session, request: IoctlRequest): Promise<Answer> {
  return reply(request, await session.ioctl(request.row.nr, request.payload));
}

/** G/S_PARM: read() is not offered, so there are no read buffers. */
async function parm(session: Session, request: IoctlRequest): Promise<Answer> {
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
async function tuner(session: Session, request: IoctlRequest): Promise<Answer> {
  const { payload, row } = request;
  const answer = await plain(session, request);
  const at = capabilityAt[row.nr]!;
  const own = payload.readUInt32LE(at);
  const absent = own & TunerCapability.RDS_CONTROLS ? 0 : TunerCapability.RDS;
  payload.writeUInt32LE((own & ~(TunerCapability.RDS_BLOCK_IO | absent)) >>> 0, at);
  return answer;
}

/** QUERY_DV_TIMINGS: what was measured comes back on errors too (ENOLINK, ENOLCK, ERANGE). */
async function timings(session: Session, { row, payload }: IoctlRequest): Promise<Answer> {
  const status = await session.ioctl(row.nr, payload);
  return { status, payload: status === Errno.ENOTTY ? [] : [payload] };
}
