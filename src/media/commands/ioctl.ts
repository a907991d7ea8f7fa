/** CMD_IOCTL: finds the row of the ioctl and takes its payload across. */
import { Errno } from '../../errno.js';
import { type IoctlRow, ioctls, type Payload } from '../../v4l2/ioctls.js';
import { EDID_BLOCK, MAX_EDID_BLOCKS } from '../../v4l2/layout.js';
import { MAX_READABLE } from '../../virtio/chain.js';
import { executions } from '../ioctls/handlers.js';
import type { IoctlRequest } from '../ioctls/ioctl-request.js';
import { Command as CommandCode, ioctlCommand, mmapCommand, RequestCode } from '../protocol.js';
import type { Session } from '../session.js';
import type { Command } from './command.js';
import { execute } from './execution.js';

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
export interface OptionalIoctls {
  readonly expbuf: boolean;
  readonly requestHandles: boolean;
}

function rowOf(
  code: number,
  { expbuf: objects, requestHandles: handles }: OptionalIoctls,
): IoctlRow | undefined {
  const row = ioctls.get(code) ?? (handles ? requestRows.get(code) : undefined);
  return row?.payload === 'export' && !objects ? undefined : row;
}

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
  offers: OptionalIoctls,
): IoctlRequest | number {
  const row = rowOf(code, offers);
  if (!row) return Errno.ENOTTY;
  if (row.direction === 'r') return { row, payload: Buffer.alloc(row.size), rest: Buffer.alloc(0), command };
  if (body.length < row.size) return Errno.EINVAL;
  return { row, payload: Buffer.from(body.subarray(0, row.size)), rest: body.subarray(row.size), command };
}

/** How many bytes of a command mean something, by its first ones. MMAP's older form is the longest of the others. */
export function usefulBytes(head: Buffer, offers: OptionalIoctls): number {
  const { command, code } = ioctlCommand.read(head);
  if (command !== CommandCode.IOCTL) return mmapCommand.size + 4;
  const row = rowOf(code, offers);
  return ioctlCommand.size + (row ? row.size + (following[row.payload] ?? 0) : 0);
}

/** Runs the ioctl in the session's turn. */
export function runIoctl(session: Session, request: IoctlRequest): Promise<void> {
  return execute(session, request.command, request, executions[request.row.payload]);
}
