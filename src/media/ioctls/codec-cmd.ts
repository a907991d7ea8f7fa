/** ENCODER_CMD and DECODER_CMD. */
import { CODEC_CMD_START } from '../../v4l2/layout.js';
import type { Answer } from '../commands/command.js';
import type { Session } from '../session.js';
import { type IoctlRequest, reply } from './ioctl-request.js';

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
