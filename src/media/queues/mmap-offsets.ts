/** The mmap offsets (v4l2_buffer.m.offset) that the bridge gives to guests. Offsets of the host never cross. */
import type { BufferQueue } from './buffer-queue.js';
import type { VideoBuffer, VideoPlane } from './video-buffer.js';

/** Bytes. A guest with 64 KiB pages cannot map at a finer offset, and the field on the wire has 32 bits. */
const STEP = 0x1_0000;
const END = 0x1_0000_0000;

/** The mmap offsets of one session, in bytes. None is given out twice before the 32-bit range has been used up. */
export class MmapOffsets {
  readonly #planes = new Map<
    number,
    { buffer: VideoBuffer; plane: VideoPlane; queue: BufferQueue; number: number }
  >();
  #next = STEP;

  /** A multiple of 64 KiB, above 0, that no existing plane has. */
  take(): number {
    do {
      this.#next = (this.#next + STEP) % END || STEP;
    } while (this.#planes.has(this.#next));
    return this.#next;
  }

  /** Makes the planes of a buffer findable. */
  add(queue: BufferQueue, buffer: VideoBuffer): void {
    for (const [number, plane] of buffer.planes.entries()) {
      this.#planes.set(plane.mmapOffset, { buffer, plane, queue, number });
    }
  }

  remove(buffer: VideoBuffer): void {
    for (const { mmapOffset } of buffer.planes) this.#planes.delete(mmapOffset);
  }

  /** The plane with this mmap offset, its buffer, its queue, and its number in the buffer; undefined: there is none. */
  find(offset: number) {
    return this.#planes.get(offset);
  }
}
