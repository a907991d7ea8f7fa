/** The ioctls for media requests that the guest makes itself (`--requests handles`, docs/stateless.md). */
import { Errno } from '../../errno.js';
import { isFailure } from '../../result.js';
import type { Answer } from '../commands/command.js';
import { RequestCode } from '../protocol.js';
import type { RequestHandles } from '../queues/request-handles.js';
import type { Session } from '../session.js';
import type { IoctlRequest } from './ioctl-request.js';

type Operation = (handles: RequestHandles, handle: number) => Promise<number> | number;

const operations: Readonly<Record<number, Operation>> = {
  [RequestCode.QUEUE]: (handles, handle) => handles.queue(handle),
  [RequestCode.REINIT]: (handles, handle) => handles.reinit(handle),
  [RequestCode.CLOSE]: (handles, handle) => handles.close(handle),
};

/**
 * The ioctls of RequestCode. Payload: the request handle, 4 bytes. Only ALLOC answers it. Errnos of its own: ENOTTY
 * if the device offers no request handles, EINVAL for a handle that does not exist, EMFILE for more than
 * MAX_REQUEST_HANDLES. Others come from the driver.
 */
export async function requestIoctl(session: Session, { row, payload }: IoctlRequest): Promise<Answer> {
  const { handles } = session;
  if (!handles) return { status: Errno.ENOTTY };
  if (row.nr !== RequestCode.ALLOC)
    return { status: await operations[row.nr]!(handles, payload.readUInt32LE(0)) };
  const handle = await handles.allocate();
  if (isFailure(handle)) return { status: handle.errno };
  payload.writeUInt32LE(handle, 0);
  // The guest never learns the handle of a late answer, and a new request costs little.
  return { status: 0, payload: [payload], once: true, dropped: () => void handles.close(handle) };
}
