/** Which buffers the device holds, by the driver's books: every DQBUF event must name one of them. */

export class QueuedBuffers {
  readonly #queued = new Map<string, Set<number>>();

  queue(sessionId: number, type: number, index: number): void {
    const key = `${sessionId}/${type}`;
    const queued = this.#queued.get(key) ?? new Set();
    this.#queued.set(key, queued.add(index));
  }

  /** False: the device returned a buffer that it did not hold. */
  dequeue(sessionId: number, type: number, index: number): boolean {
    return this.#queued.get(`${sessionId}/${type}`)?.delete(index) ?? false;
  }

  /** STREAMOFF and REQBUFS: the device gives every buffer of the queue back without a word. */
  clear(sessionId: number, type: number): void {
    this.#queued.delete(`${sessionId}/${type}`);
  }

  clearSession(sessionId: number): void {
    for (const key of this.#queued.keys()) if (key.startsWith(`${sessionId}/`)) this.#queued.delete(key);
  }
}
