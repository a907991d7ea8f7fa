/** CMD_IOCTL: finds the row of the ioctl, copies its payload out and runs it. */
import { Errno } from '../../errno.js';
import { failure, type Result } from '../../result.js';
import { NONE } from '../../struct.js';
import { type IoctlRow, ioctls, type Payload } from '../../v4l2/ioctls.js';
import { EDID_BLOCK, MAX_EDID_BLOCKS } from '../../v4l2/layout.js';
import { MAX_READABLE } from '../../virtio/chain.js';
import { executions } from '../ioctls/handlers.js';
import type { IoctlRequest } from '../ioctls/ioctl-request.js';
import { Command as CommandCode, ioctlCommand, mmapCommand, RequestCode } from '../protocol.js';
import type { Session } from '../session.js';
import type { Command } from './command.js';
import { execute } from './execution.js';

/** Rows of ioctls that V4L2 does not have: media requests by request handles. */
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

/** Ioctls that a device has only if the operator turned them on. */
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

/** Most bytes that may follow the payload. SG lists have any length that the chain allows. */
const following: Readonly<Partial<Record<Payload, number>>> = {
  buffer: MAX_READABLE,
  controls: MAX_READABLE,
  edid: MAX_EDID_BLOCKS * EDID_BLOCK,
};

/**
 * Reads the request of an ioctl. `code`: the number of the _IO* macro. `body`: what follows the command's structure.
 * ENOTTY: the device does not have the ioctl. EINVAL: the payload is too short. An `r` ioctl may come with or without
 * a payload, because the Linux driver sends one with G_INPUT and G_OUTPUT.
 */
export function readIoctl(
  command: Command,
  code: number,
  body: Buffer,
  offers: OptionalIoctls,
): Result<IoctlRequest> {
  const row = rowOf(code, offers);
  if (!row) return failure(Errno.ENOTTY);
  if (row.direction === 'r') return { row, payload: Buffer.alloc(row.size), rest: NONE, command };
  if (body.length < row.size) return failure(Errno.EINVAL);
  return { row, payload: Buffer.from(body.subarray(0, row.size)), rest: body.subarray(row.size), command };
}

/**
 * How many bytes of a command are worth copying. `head`: its first 16 bytes. For commands other than
 * IOCTL it is the size of the longest of them: MMAP in the form of the 2024 draft.
 */
export function usefulBytes(head: Buffer, offers: OptionalIoctls): number {
  const { command, code } = ioctlCommand.read(head);
  if (command !== CommandCode.IOCTL) return mmapCommand.size + 4;
  const row = rowOf(code, offers);
  return ioctlCommand.size + (row ? row.size + (following[row.payload] ?? 0) : 0);
}

/** Runs the ioctl and answers its command. Call it in a task of the session. */
export function runIoctl(session: Session, request: IoctlRequest): Promise<void> {
  return execute(session, request.command, request, executions[request.row.payload]);
}
