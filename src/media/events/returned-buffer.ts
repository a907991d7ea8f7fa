/**
 * The next buffer of a queue that has come back: by DQBUF, or as a damaged frame if the driver will never return it.
 */
import { Errno } from '../../errno.js';
import { log } from '../../log.js';
import { NONE } from '../../struct.js';
import { BufferFlag, buffer, plane, TimestampFlag } from '../../v4l2/layout.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import { emptyRecord } from '../queues/buffer-record.js';
import type { HostBuffer, VideoBuffer } from '../queues/video-buffer.js';
import type { Session } from '../session.js';

/** The record of the next buffer that has come back; null: there is none. */
export async function nextReturned(session: Session, queue: BufferQueue): Promise<HostBuffer | null> {
  const early = queue.takeEarly();
  if (early) return early;
  if (!session.gone && !queue.failed && !queue.ended) {
    const host = emptyRecord(queue);
    const errno = await session.call({ kind: 'dequeueBuffer', ...host });
    if (errno === 0) return host;
    await verdicts[errno]?.(session, queue);
  }
  return session.gone || queue.failed ? abandonedByDriver(queue) : null;
}

/** What each errno of DQBUF means for the queue (Linux, Documentation: VIDIOC_DQBUF). EAGAIN: no buffer is ready. */
const verdicts: Readonly<Record<number, (session: Session, queue: BufferQueue) => Promise<void>>> = {
  [Errno.EPIPE]: async (session, queue) => {
    queue.end();
    await session.arm();
  },
  [Errno.EINVAL]: async (session, queue) => {
    queue.notStreaming();
    await session.arm();
  },
  [Errno.EIO]: async (session, queue) => {
    log.warn('the driver gave up on a queue (EIO): its buffers go back with the ERROR flag', {
      session: session.id,
      type: queue.type,
    });
    queue.fail();
    await session.arm();
  },
};

/** The next queued buffer, which the driver will never return, as a damaged frame. Null: none is left. */
function abandonedByDriver(queue: BufferQueue): HostBuffer | null {
  const [index] = queue.wanted;
  const vb = index === undefined ? undefined : queue.buffers.get(index);
  return vb ? damaged(queue, vb) : null;
}

/** A frame without data and with the ERROR flag, numbered after the last frame of the queue. */
export function damaged(queue: BufferQueue, vb: VideoBuffer): HostBuffer {
  const host = emptyRecord(queue);
  const { timestamp, sequence, field, flags } = buffer.read(queue.lastFrame ?? host.buffer);
  buffer.write(host.buffer, {
    ...buffer.read(host.buffer),
    index: vb.index,
    timestamp,
    sequence: queue.lastFrame ? (sequence + 1) >>> 0 : 0,
    field,
    flags: (flags & TIMESTAMP_FLAGS) | BufferFlag.ERROR,
    length: queue.isMultiplanar ? vb.planes.length : (vb.planes[0]?.length ?? 0),
  });
  for (const [number, { length }] of vb.planes.entries()) {
    const empty = { bytesused: 0, length, m: NONE, dataOffset: 0, reserved: NONE };
    if (host.planes) plane.write(host.planes, empty, number * plane.size);
  }
  return host;
}

/** V4L2_BUF_FLAG_TIMESTAMP_MASK and V4L2_BUF_FLAG_TSTAMP_SRC_MASK: the kind of timestamp that the driver gives. */
const TIMESTAMP_FLAGS = TimestampFlag.MASK | TimestampFlag.SOURCE_MASK;
