/** What the guest believes about its buffers and what the host holds for them, per queue (buffer type) and index. */
import type { NodeCall, PlaneMemory, Region } from '../../native.js';
import { isCapture, isMultiplanar } from '../../v4l2/buffer-type.js';
import { Memory } from '../../v4l2/layout.js';
import type { GuestPages } from '../memory/guest-pages.js';
import type { ExportedPlane } from '../memory/objects.js';
import type { SharedMemorySlot } from '../memory/shared-memory.js';

/**
 * The host memory behind a guest's queue.
 *
 * MMAP:
 * - userptr: the host's queue is USERPTR, on slots of the arena. Zero copy.
 * - copy: the host's queue is MMAP and mapped here. Each frame is copied to or from its arena slot.
 * - direct: the host's queue is MMAP, and the guest maps the DMABUFs. Zero copy.
 * - unmapped: the VMM has no shared memory. Buffers exist, CMD_MMAP is refused.
 *
 * SHARED_PAGES:
 * - pages-userptr: the host's queue is USERPTR, on the guest's pages. Zero copy.
 * - pages-copy: the host's queue is MMAP and mapped here. Each frame is copied to or from the guest's pages.
 *
 * OBJECT:
 * - imported: the host's queue is DMABUF.
 */
export type Backing =
  | 'userptr'
  | 'copy'
  | 'direct'
  | 'unmapped'
  | 'pages-userptr'
  | 'pages-copy'
  | 'imported';

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
  userptr:         { guest: MMAP,    host: USERPTR, slot: true,  mapped: false },
  copy:            { guest: MMAP,    host: MMAP,    slot: true,  mapped: true },
  direct:          { guest: MMAP,    host: MMAP,    slot: false, mapped: false },
  unmapped:        { guest: MMAP,    host: MMAP,    slot: false, mapped: false },
  'pages-userptr': { guest: USERPTR, host: USERPTR, slot: false, mapped: false },
  'pages-copy':    { guest: USERPTR, host: MMAP,    slot: false, mapped: true },
  imported:        { guest: DMABUF,  host: DMABUF,  slot: false, mapped: false },
};

export interface VideoPlane {
  /** Bytes of the host's plane. */
  readonly length: number;
  /** The offset that the guest passes to mmap: ours, never the host's. */
  readonly mmapOffset: number;
  /** Where the plane is in SHM region 0; null until it is mapped in direct mode. */
  slot: SharedMemorySlot | null;
  /** The host's buffer mapped here (copy, pages-copy), or what stands in for pages that cannot be joined. */
  host: Region | null;
  /** The guest's pages that were last given to this plane (SHARED_PAGES). */
  pages: PlanePages | null;
  /** The object that was last given to this plane (OBJECT), and the one that EXPBUF made of it. */
  object: Uint8Array | null;
  exported: ExportedPlane | null;
}

/** The guest's own memory behind a plane. */
export interface PlanePages {
  /** v4l2_plane.m.userptr as the guest gave it. */
  readonly m: Uint8Array;
  readonly length: number;
  readonly memory: GuestPages;
}

export interface VideoBuffer {
  readonly index: number;
  readonly planes: VideoPlane[];
  /** The request that it was queued to, by the guest's handle; 0: none. */
  request: number;
  /** PREPARE_BUF has fixed its memory: QBUF takes no other. */
  prepared: boolean;
  /** The QBUF that gave it to the driver, to be done again; none: there was none, or it cannot be. */
  ioctl?: NodeCall | null;
}

export function bytesOfBuffer({ planes }: VideoBuffer): number {
  return planes.reduce((sum, { length }) => sum + length, 0);
}

/** Bytes of all buffers of the queues. */
export function bytesOf(queues: readonly BufferQueue[]): number {
  return queues.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** A v4l2_buffer and its planes in the form that the host kernel gets. */
export interface HostBuffer {
  readonly buffer: Buffer;
  readonly planes?: Buffer;
  readonly memory?: readonly PlaneMemory[];
  readonly descriptors?: readonly number[];
}

/** One queue of a session: exists from REQBUFS or CREATE_BUFS to REQBUFS(0) or CLOSE. */
export class BufferQueue {
  readonly buffers = new Map<number, VideoBuffer>();
  /** Indices the host has, in the order in which they were queued. */
  readonly queued = new Set<number>();
  /** Indices among them whose QBUF was answered before it was done: the guest believes that it failed, and may ask again. */
  readonly unannounced = new Set<number>();
  /** Buffers of those that came back meanwhile: the driver has them no more. */
  early: readonly HostBuffer[] = [];
  /** Indices the host has and the guest does without: nobody is told when they come back. */
  readonly abandoned = new Set<number>();
  /** Indices that the host has given up silently though the guest waits for them: to it they are damaged frames. */
  readonly owed = new Set<number>();
  streaming = false;
  /** It streams, and the guest does not know yet: nothing is dequeued. */
  isHeld = false;
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

  /** Buffers that the kernel keeps until REQBUFS(0) though the guest was refused them, and their bytes. */
  readonly refused = { count: 0, bytes: 0 };

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
    return this.streaming && !this.isHeld && this.buffers.size > 0 && !this.ended && !this.failed;
  }

  /** Indices of buffers that the guest waits for, in the order in which they were queued. */
  get wanted(): number[] {
    return [...this.queued].filter((index) => !this.unannounced.has(index));
  }

  /** Indices that the driver has for the guest, in the order in which they were queued. */
  get driverHas(): number[] {
    const back = new Set(this.early.map(indexOf));
    return [...this.queued].filter((index) => !back.has(index));
  }

  /** The first early one of which the guest knows by now. */
  takeEarly(): HostBuffer | null {
    const told = this.early.find((host) => !this.unannounced.has(indexOf(host)));
    if (told) this.early = this.early.filter((host) => host !== told);
    return told ?? null;
  }

  /** Whether it had come back. */
  dropEarly(index: number): boolean {
    const before = this.early.length;
    this.early = this.early.filter((host) => indexOf(host) !== index);
    return this.early.length < before;
  }

  get bytes(): number {
    return [...this.buffers.values()].reduce((sum, vb) => sum + bytesOfBuffer(vb), this.refused.bytes);
  }

  /** Buffers that the kernel has, those included that nobody holds. */
  get count(): number {
    return this.buffers.size + this.refused.count;
  }

  /** STREAMOFF: every buffer is the guest's again, silently. */
  stopped(): void {
    this.streaming = false;
    this.ended = false;
    this.failed = false;
    this.lastFrame = null;
    this.isHeld = false;
    this.early = [];
    for (const indices of [this.queued, this.unannounced, this.abandoned, this.owed]) indices.clear();
    for (const buffer of this.buffers.values()) buffer.prepared = false;
  }
}

function indexOf({ buffer }: HostBuffer): number {
  return Buffer.from(buffer.buffer, buffer.byteOffset).readUInt32LE(0);
}
