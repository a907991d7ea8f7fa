/** The buffers that the driver has queued and the device has not returned. Every DQBUF event must name one of them. */
import { Ioctl } from '../v4l2/ioctls.js';
import { buffer, requestBuffers } from '../v4l2/layout.js';

export class QueuedBuffers {
  readonly #queued = new Map<string, Set<number>>();

  /** Records an ioctl that the device answered with success. `payload`: the bytes that the driver sent. */
  answered(sessionId: number, nr: number, payload: Uint8Array): void {
    if (nr === Ioctl.QBUF) this.#queue(sessionId, payload);
    // Both return every buffer of the queue, and no event tells that.
    if (nr === Ioctl.REQBUFS) this.#clear(sessionId, requestBuffers.read(payload).type);
    if (nr === Ioctl.STREAMOFF) this.#clear(sessionId, Buffer.from(payload).readUInt32LE());
  }

  /** Records a returned buffer. False: the buffer was not queued. */
  dequeue(sessionId: number, type: number, index: number): boolean {
    return this.#queued.get(`${sessionId}/${type}`)?.delete(index) ?? false;
  }

  /** Removes every buffer of a closed session. */
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
