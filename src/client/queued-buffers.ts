/** Which buffers the device holds, by the driver's books: every DQBUF event must name one of them. */
import { Ioctl } from '../v4l2/ioctls.js';
import { buffer, requestBuffers } from '../v4l2/layout.js';

export class QueuedBuffers {
  readonly #queued = new Map<string, Set<number>>();

  /** The device has answered an ioctl with success; `payload` is what was sent. */
  answered(sessionId: number, nr: number, payload: Uint8Array): void {
    if (nr === Ioctl.QBUF) this.#queue(sessionId, payload);
    // Both give every buffer of the queue back without a word.
    if (nr === Ioctl.REQBUFS) this.#clear(sessionId, requestBuffers.read(payload).type);
    if (nr === Ioctl.STREAMOFF) this.#clear(sessionId, Buffer.from(payload).readUInt32LE());
  }

  /** False: the device returned a buffer that it did not hold. */
  dequeue(sessionId: number, type: number, index: number): boolean {
    return this.#queued.get(`${sessionId}/${type}`)?.delete(index) ?? false;
  }

  closed(sessionId: number): void {
    for (const key of this.#queued.keys()) if (key.startsWith(`${sessionId}/`)) this.#queued.delete(key);
  }

  #queue(sessionId: number, payload: Uint8Array): void {
    const { type, index } = buffer.read(payload);
    const key = `${sessionId}/${type}`;
    const queued = this.#queued.get(key) ?? new Set();
    this.#queued.set(key, queued.add(index));
  }

  #clear(sessionId: number, type: number): void {
    this.#queued.delete(`${sessionId}/${type}`);
  }
}
