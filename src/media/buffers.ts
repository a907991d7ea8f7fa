/** What the guest believes about its buffers and what the host holds for them, per queue (buffer type) and index. */
import type { Region } from '../native.js';
import { BufferType, Memory } from '../v4l2/layout.js';
import type { GuestPages } from './guest-pages.js';
import type { ExportedPlane } from './objects.js';
import type { Slot } from './shared-memory.js';

/**
 * What stands behind a guest's queue.
 * For MMAP: userptr: the host's queue is USERPTR on arena slots, zero copy; copy: the host's queue is MMAP, mapped here,
 * and a frame is copied to or from its arena slot; direct: the host's queue is MMAP, and the guest maps the DMABUFs, zero
 * copy; unmapped: the VMM has no shared memory: buffers exist, MMAP is refused.
 * For SHARED_PAGES: stitched: the host's queue is USERPTR on the guest's pages, zero copy; carried: the host's queue is
 * MMAP, mapped here, and a frame is copied to or from the guest's pages.
 * For OBJECT: imported: the host's queue is DMABUF.
 */
export type Backing = 'userptr' | 'copy' | 'direct' | 'unmapped' | 'stitched' | 'carried' | 'imported';

interface BackingRow {
  /** V4L2_MEMORY_* of the guest's queue and of the host's. */
  readonly guest: number;
  readonly host: number;
  /** A plane has a slot of the arena; it is mapped into this process. */
  readonly slot: boolean;
  readonly mapped: boolean;
}

const { MMAP, USERPTR, DMABUF } = Memory;

// biome-ignore format: a table
export const backings: Readonly<Record<Backing, BackingRow>> = {
  userptr:  { guest: MMAP,    host: USERPTR, slot: true,  mapped: false },
  copy:     { guest: MMAP,    host: MMAP,    slot: true,  mapped: true },
  direct:   { guest: MMAP,    host: MMAP,    slot: false, mapped: false },
  unmapped: { guest: MMAP,    host: MMAP,    slot: false, mapped: false },
  stitched: { guest: USERPTR, host: USERPTR, slot: false, mapped: false },
  carried:  { guest: USERPTR, host: MMAP,    slot: false, mapped: true },
  imported: { guest: DMABUF,  host: DMABUF,  slot: false, mapped: false },
};

export interface HeldPlane {
  /** Bytes of the host's plane. */
  readonly length: number;
  /** The offset that the guest passes to mmap: ours, never the host's. */
  readonly cookie: number;
  /** Where the plane is in SHM region 0; null until it is mapped in direct mode. */
  slot: Slot | null;
  /** The host's buffer mapped here (copy, carried), or what stands in for pages that cannot be stitched. */
  host: Region | null;
  /** The guest's pages that were last given to this plane (SHARED_PAGES). */
  pages: HeldPages | null;
  /** The object that was last given to this plane (OBJECT), and the one that EXPBUF made of it. */
  object: Uint8Array | null;
  exported: ExportedPlane | null;
}

/** The guest's own memory behind a plane. */
export interface HeldPages {
  /** v4l2_plane.m.userptr as the guest gave it. */
  readonly m: Uint8Array;
  readonly length: number;
  readonly memory: GuestPages;
}

export interface HeldBuffer {
  readonly index: number;
  readonly planes: HeldPlane[];
  /** The request that it was queued to, by the guest's handle; 0: none. */
  request: number;
  /** PREPARE_BUF has fixed its memory: QBUF takes no other. */
  prepared: boolean;
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

/** Bytes of all buffers of the queues. */
export function bytesOf(queues: readonly BufferQueue[]): number {
  return queues.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** One queue of a session: exists from REQBUFS or CREATE_BUFS to REQBUFS(0) or CLOSE. */
export class BufferQueue {
  readonly buffers = new Map<number, HeldBuffer>();
  /** Indices the host has, in the order in which they were queued. */
  readonly queued = new Set<number>();
  /** Indices the host has though their QBUF was answered with an error, too late: nobody is told when they come back. */
  readonly unwanted = new Set<number>();
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

  /** V4L2_MEMORY_* of the guest. */
  get memory(): number {
    return backings[this.backing].guest;
  }

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
    this.unwanted.clear();
    for (const buffer of this.buffers.values()) buffer.prepared = false;
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
