/** STREAMON and STREAMOFF. */
import { Errno } from '../../errno.js';
import { isOverlay } from '../../v4l2/buffer-type.js';
import { Ioctl } from '../../v4l2/ioctls.js';

import type { Answer } from '../commands/command.js';
import { stale } from '../events/eventq.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import type { Session } from '../session.js';
import { isCurrentAllowed } from './formats.js';
import type { IoctlRequest } from './ioctl-request.js';

export async function streamingIoctl(session: Session, request: IoctlRequest): Promise<Answer> {
  const type = request.payload.readUInt32LE(0);
  if (isOverlay(type)) return { status: Errno.EINVAL };
  const queue = session.queues.get(type);
  return request.row.nr === Ioctl.STREAMON
    ? streamOn(session, request, queue)
    : streamOff(session, request, queue);
}

async function streamOn(
  session: Session,
  request: IoctlRequest,
  queue: BufferQueue | undefined,
): Promise<Answer> {
  const type = request.payload.readUInt32LE(0);
  if (!(await isCurrentAllowed(session, type))) return { status: Errno.EINVAL };
  const status = await session.ioctl(Ioctl.STREAMON, request.payload);
  if (status !== 0 || !queue) return { status };
  const goOn = async (): Promise<void> => {
    queue.withhold(false);
    await session.rearm();
  };
  const isNew = !queue.streaming;
  queue.started();
  // The answer goes first: frames can only follow it, as this session drains after this turn.
  return {
    status,
    told: goOn,
    untold: () => {
      queue.withhold(isNew);
    },
    dropped: goOn,
  };
}

async function streamOff(
  session: Session,
  request: IoctlRequest,
  queue: BufferQueue | undefined,
): Promise<Answer> {
  await session.arm(queue);
  const status = await session.ioctl(Ioctl.STREAMOFF, request.payload);
  const queued = queue?.wanted ?? [];
  if (status === 0 && queue) {
    queue.stopped();
    if (!queue.isCapture) session.requests?.stopped();
  }
  await session.arm();
  await session.quiet(request.command.remaining, stale.framesOf(request.payload.readUInt32LE(0)));
  if (status !== 0 || !queue) return { status };
  return {
    status,
    told: async () => queue.forgetOwed(),
    // A guest that believes in the stream waits for its buffers.
    untold: () => {
      queue.owe(queued);
      session.wantDrain();
    },
  };
}
