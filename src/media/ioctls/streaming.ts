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

/**
 * VIDIOC_STREAMON and VIDIOC_STREAMOFF.
 *
 * Payload: the buffer type, 4 bytes (enum v4l2_buf_type). The answer has none.
 *
 * EINVAL of its own: overlay types, and STREAMON if the policy denies the current format. All others come from the
 * driver (vb2_streamon, vb2_streamoff).
 *
 * STREAMON: frames follow the answer, never precede it. STREAMOFF: the kernel gives back every queued buffer without
 * an event, and no frame of the old stream follows the answer.
 */
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
  // Frames follow the answer, because the session drains only after this task.
  return {
    status,
    announced: goOn,
    unannounced: () => {
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
  if (status === 0 && queue) session.stopped(queue);
  await session.arm();
  await session.quiet(request.command.remaining, stale.framesOf(request.payload.readUInt32LE(0)));
  if (status !== 0 || !queue) return { status };
  return {
    status,
    announced: async () => queue.forgetOwed(),
    // The guest believes that the queue still streams and waits for its buffers, so it gets an event for each.
    unannounced: () => {
      queue.owe(queued);
      session.wantDrain();
    },
  };
}
