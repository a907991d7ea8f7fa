/** Tests whether another program could use the node now: opens it and requests buffers. */
import { setTimeout as delay } from 'node:timers/promises';
import { Errno, errnoName } from '../../../src/errno.js';
import { native } from '../../../src/native.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferType, Memory, requestBuffers } from '../../../src/v4l2/layout.js';
import { close, open, submit } from '../../addon/support/node-file.js';

const POLL_MS = 20;

/**
 * Errno of REQBUFS for one buffer by a new program, which closes the node at once: 0 or EBUSY. Or the errno of open.
 */
async function claim(device: string): Promise<number> {
  const file = new native.NodeFile(() => undefined);
  const requested = (count: number) =>
    submit(file, { kind: 'ioctl', nr: Ioctl.REQBUFS, payload: request(count) });
  const opened = await open(file, device);
  const errno = opened === 0 ? await requested(1) : opened;
  if (errno === 0) await requested(0);
  await close(file);
  return errno;
}

/** Milliseconds until the node was free. Rejects if it is not free within `timeout`. */
export async function freeWithin(device: string, timeout: number): Promise<number> {
  const start = performance.now();
  for (;;) {
    const errno = await claim(device);
    const elapsed = performance.now() - start;
    if (errno === 0 && elapsed <= timeout) return elapsed;
    if (errno !== Errno.EBUSY || elapsed > timeout)
      throw new Error(`${device} after ${Math.round(elapsed)} ms: ${errnoName(errno)}`);
    await delay(POLL_MS);
  }
}

function request(count: number): Buffer {
  const [type, memory] = [BufferType.VIDEO_CAPTURE, Memory.MMAP];
  return requestBuffers.encode({
    count,
    type,
    memory,
    capabilities: 0,
    flags: 0,
    reserved: new Uint8Array(),
  });
}
