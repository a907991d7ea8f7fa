/** What the guest believes about its buffers and what the host holds for them, per queue (buffer type) and index. */
import type { Region } from '../native.js';
import { BufferType } from '../v4l2/layout.js';
import type { Slot } from './shared-memory.js';

/**
 * How the host backs a guest's MMAP queue.
 * userptr: the host's queue is USERPTR on arena slots: zero copy.
 * copy: the host's queue is MMAP, mapped here, and a frame is copied to or from its arena slot.
 * direct: the host's queue is MMAP, and the guest maps the DMABUFs: zero copy.
 * unmapped: the VMM has no shared memory; buffers exist, MMAP is refused.
 */
export type Backing = 'userptr' | 'copy' | 'direct' | 'unmapped';

export interface HeldPlane {
  /** Bytes. */
  readonly length: number;
  /** The offset that the guest passes to mmap: ours, never the host's. */
  readonly cookie: number;
  /** Where the plane is in SHM region 0; null until it is mapped in direct mode. */
  slot: Slot | null;
  /** The host's buffer mapped here (copy only). */
  readonly host: Region | null;
}

export interface HeldBuffer {
  readonly index: number;
  readonly planes: HeldPlane[];
}

const captureTypes: ReadonlySet<number> = new Set([
  BufferType.VIDEO_CAPTURE,
  BufferType.VBI_CAPTURE,
  BufferType.SLICED_VBI_CAPTURE,
  BufferType.VIDEO_CAPTURE_MPLANE,
  BufferType.SDR_CAPTURE,
  BufferType.META_CAPTURE,
]);

export function isCapture(type: number): boolean {
  return captureTypes.has(type);
}

export function isMultiplanar(type: number): boolean {
  return type === BufferType.VIDEO_CAPTURE_MPLANE || type === BufferType.VIDEO_OUTPUT_MPLANE;
}

/** Types whose union holds pointers that no payload follows: refused everywhere. */
export function isOverlay(type: number): boolean {
  return type === BufferType.VIDEO_OVERLAY || type === BufferType.VIDEO_OUTPUT_OVERLAY;
}

/** One queue of a session: exists from REQBUFS or CREATE_BUFS to REQBUFS(0) or CLOSE. */
export class BufferQueue {
  readonly buffers = new Map<number, HeldBuffer>();
  /** Indices the host has, in the order in which they were queued. */
  readonly queued = new Set<number>();
  streaming = false;
  /** The v4l2_buffer of the last frame that came back. */
  lastFrame: Buffer | null = null;
  /** A LAST buffer was dequeued: DQBUF says EPIPE until the stream is restarted. */
  ended = false;
  /** The driver gave up (EIO): what is queued goes back with V4L2_BUF_FLAG_ERROR. */
  failed = false;

  constructor(
    readonly type: number,
    readonly backing: Backing,
  ) {}

  get isCapture(): boolean {
    return isCapture(this.type);
  }

  get isMultiplanar(): boolean {
    return isMultiplanar(this.type);
  }

  /** Whether the watcher should wait for this queue's buffers (never without buffers: vb2 would start read() emulation). */
  get isArmed(): boolean {
    return this.streaming && this.buffers.size > 0 && !this.ended && !this.failed;
  }

  get bytes(): number {
    return [...this.buffers.values()].reduce(
      (sum, { planes }) => sum + planes.reduce((bytes, { length }) => bytes + length, 0),
      0,
    );
  }

  /** STREAMOFF: every buffer is the guest's again, silently. */
  stopped(): void {
    this.streaming = false;
    this.ended = false;
    this.failed = false;
    this.lastFrame = null;
    this.queued.clear();
  }
}

/** The mmap offsets of one session: unique until they wrap, never the host's. */
export class Cookies {
  readonly #planes = new Map<
    number,
    { buffer: HeldBuffer; plane: HeldPlane; queue: BufferQueue; number: number }
  >();
  #next = COOKIE_STEP;

  /** A cookie that no live plane has. */
  take(): number {
    do {
      this.#next = (this.#next + COOKIE_STEP) % COOKIE_END || COOKIE_STEP;
    } while (this.#planes.has(this.#next));
    return this.#next;
  }

  add(queue: BufferQueue, buffer: HeldBuffer): void {
    for (const [number, plane] of buffer.planes.entries()) {
      this.#planes.set(plane.cookie, { buffer, plane, queue, number });
    }
  }

  remove(buffer: HeldBuffer): void {
    for (const { cookie } of buffer.planes) this.#planes.delete(cookie);
  }

  find(cookie: number) {
    return this.#planes.get(cookie);
  }
}

/** Guests with 64 KiB pages cannot map at a finer offset; the wire carries 32 bits. */
const COOKIE_STEP = 0x1_0000;
const COOKIE_END = 0x1_0000_0000;
