/** Ioctls whose payload passes unchanged, except for what the rule of their row says. */
import { Errno } from '../../errno.js';
import { hideBits } from '../../v4l2/command-table.js';
import type { Answer } from '../commands/command.js';
import type { Session } from '../session.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

/** An ioctl without pointers and without data after its payload. Errnos are the driver's. */
export async function plain(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  hideBits(row, payload);
  const status = await session.ioctl(row.nr, payload);
  hideBits(row, payload);
  if (row.rule?.answersErrors && status !== Errno.ENOTTY) return { status, payload: [payload] };
  return reply(request, status);
}
