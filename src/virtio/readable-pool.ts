/**
 * The buffers that long readable parts and long values of controls are copied to. They are used again and again: a new
 * megabyte for each long command makes V8 collect garbage, and a collection may take longer than a turn of the loop.
 */
import { MAX_READABLE } from './chain.js';

/** Up to this many bytes a new buffer costs less than one of the pool. */
const SHORT_BYTES = 0x1_0000;
/** The most buffers that wait for their next use, 1 MiB each. Others are left to the garbage collector. */
const MAX_WAITING = 64;
/** After this many milliseconds in which no buffer was taken, the pool is emptied. */
const IDLE_MS = 10_000;

export class ReadablePool {
  #waiting: ArrayBuffer[] = [];
  /** The buffers that take() made and give() has not had back. They are forgotten with their last view. */
  readonly #taken = new WeakSet<ArrayBufferLike>();
  #timer: NodeJS.Timeout | null = null;
  #wasTaken = false;

  /** How many buffers wait for their next use. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** A buffer of `length` bytes, at most MAX_READABLE. Its content is undefined. */
  take(length: number): Buffer {
    if (length <= SHORT_BYTES) return Buffer.allocUnsafe(length);
    const used = this.#waiting.pop();
    const memory = used ? structuredClone(used, { transfer: [used] }) : new ArrayBuffer(MAX_READABLE);
    this.#wasTaken = true;
    this.#taken.add(memory);
    return Buffer.from(memory, 0, length);
  }

  /**
   * Takes a buffer back, of which nothing is needed any more. All views of it have length 0 as soon as its memory is used
   * again, so a view that was kept by mistake never shows the bytes of another command. Buffers that take() did not
   * make are ignored.
   */
  give(readable: Buffer): void {
    // Most commands are short, so they cost one comparison.
    if (readable.length > SHORT_BYTES) this.#keep(readable.buffer as ArrayBuffer);
  }

  #keep(memory: ArrayBuffer): void {
    if (!this.#taken.delete(memory) || this.#waiting.length === MAX_WAITING) return;
    this.#waiting.push(memory);
    this.#timer ??= setInterval(() => this.#trim(), IDLE_MS).unref();
  }

  #trim(): void {
    if (!this.#wasTaken) {
      this.#waiting = [];
      clearInterval(this.#timer!);
      this.#timer = null;
    }
    this.#wasTaken = false;
  }
}

/** One pool for all queues of the process. Its size is bounded for all guests together. */
export const readablePool = new ReadablePool();
