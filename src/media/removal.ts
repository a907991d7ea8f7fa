/** REMOVE_BUFS: buffers that were created one by one go one by one (Linux 6.10). */
import { removeBuffers as record } from '../v4l2/layout.js';
import type { Answer } from './command.js';
import { type IoctlRequest, reply } from './ioctl.js';
import type { Session } from './session.js';

export async function removeBuffers(session: Session, request: IoctlRequest): Promise<Answer> {
  const { row, payload } = request;
  const { index: first, count, type } = record.read(payload);
  const queue = session.queues.get(type);
  const goes = (index: number): boolean => index >= first && index - first < count;
  const kept = [...(queue?.buffers.keys() ?? [])].filter((index) => !goes(index));
  // An armed queue without buffers makes vb2 start read() emulation.
  await session.arm(kept.length === 0 ? queue : undefined);
  const status = await session.ioctl(row.nr, payload);
  if (status === 0 && queue) {
    for (const index of [...queue.buffers.keys()].filter(goes)) session.forgetBuffer(queue, index);
    if (queue.buffers.size === 0 && !queue.streaming) session.forget(queue);
  }
  await session.arm();
  return reply(request, status);
}
