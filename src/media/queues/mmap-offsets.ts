/** What a guest's program passes to mmap for a plane (v4l2_buffer.m.offset): numbers of ours, never the host's. */
import type { BufferQueue } from './buffer-queue.js';
import type { VideoBuffer, VideoPlane } from './video-buffer.js';

/** Guests with 64 KiB pages cannot map at a finer offset; the wire carries 32 bits. */
const STEP = 0x1_0000;
const END = 0x1_0000_0000;

/** The mmap offsets of one session: unique until they wrap, never the host's. */
export class MmapOffsets {
  readonly #planes = new Map<
    number,
    { buffer: VideoBuffer; plane: VideoPlane; queue: BufferQueue; number: number }
  >();
  #next = STEP;

  /** An offset that no live plane has. */
  take(): number {
    do {
      this.#next = (this.#next + STEP) % END || STEP;
    } while (this.#planes.has(this.#next));
    return this.#next;
  }

  add(queue: BufferQueue, buffer: VideoBuffer): void {
    for (const [number, plane] of buffer.planes.entries()) {
      this.#planes.set(plane.mmapOffset, { buffer, plane, queue, number });
    }
  }

  remove(buffer: VideoBuffer): void {
    for (const { mmapOffset } of buffer.planes) this.#planes.delete(mmapOffset);
  }

  find(offset: number) {
    return this.#planes.get(offset);
  }
}
