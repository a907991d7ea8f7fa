/** One buffer of a queue and its planes: their state as the guest sees it, and the host memory behind them. */
import type { NodeCall, PlaneMemory, Region } from '../../native.js';
import type { GuestPages } from '../memory/guest-pages.js';
import type { ExportedPlane } from '../memory/object-table.js';
import type { SharedMemorySlot } from '../memory/shared-memory.js';

/** A v4l2_buffer (88 bytes) and its plane records (64 bytes each) as the host kernel gets them. */
export interface HostBuffer {
  readonly buffer: Buffer;
  /** Absent: the buffer type is single-planar. */
  readonly planes?: Buffer;
  /** USERPTR queue of the host: the memory of each plane. */
  readonly memory?: readonly PlaneMemory[];
  /** DMABUF queue of the host: the DMABUF of each plane. */
  readonly descriptors?: readonly number[];
}

/** SHARED_PAGES: the guest pages of one plane. */
export interface PlanePages {
  /** v4l2_plane.m.userptr (or v4l2_buffer.m.userptr) as the guest sent it. */
  readonly m: Uint8Array;
  /** Bytes of the plane as the guest sent them. Never fewer than the host's plane has. */
  readonly length: number;
  readonly memory: GuestPages;
}

/** One plane of a buffer. A single-planar buffer has exactly one. */
export class VideoPlane {
  #slot: SharedMemorySlot | null;
  #host: Region | null;
  #pages: PlanePages | null = null;
  #object: Uint8Array | null = null;
  #exported: ExportedPlane | null = null;

  /**
   * @param length bytes of the host's plane.
   * @param mmapOffset the offset in bytes that the guest passes to mmap. The bridge chose it; it is not the host's.
   * @param memory the slot of SHM region 0 and the mapped host buffer, if the backing has them.
   */
  constructor(
    readonly length: number,
    readonly mmapOffset: number,
    memory: { readonly slot?: SharedMemorySlot | null; readonly host?: Region | null } = {},
  ) {
    this.#slot = memory.slot ?? null;
    this.#host = memory.host ?? null;
  }

  /** The plane's slot of SHM region 0; null: it has none, or (objects) the guest has not mapped it yet. */
  get slot(): SharedMemorySlot | null {
    return this.#slot;
  }

  /**
   * Backings `copy` and `pages-copy`: the host's buffer, mapped into this process. Backing `pages-userptr`: the memory
   * that the driver gets if the guest pages cannot be joined. Null: there is none.
   */
  get host(): Region | null {
    return this.#host;
  }

  /** SHARED_PAGES: the guest pages of the last QBUF or PREPARE_BUF that succeeded. */
  get pages(): PlanePages | null {
    return this.#pages;
  }

  /** OBJECT: the UUID (16 bytes) of the last QBUF or PREPARE_BUF that succeeded. */
  get object(): Uint8Array | null {
    return this.#object;
  }

  /** The object that EXPBUF made from the plane; null: the guest has not exported it. */
  get exported(): ExportedPlane | null {
    return this.#exported;
  }

  /** Backing `direct`: the guest maps the plane for the first time. */
  place(slot: SharedMemorySlot): void {
    this.#slot = slot;
  }

  /** The host memory of the plane. `make` runs only if the plane has none yet; what it throws is thrown here. */
  hostMemory(make: () => Region): Region {
    this.#host ??= make();
    return this.#host;
  }

  attachPages(pages: PlanePages): void {
    this.#pages = pages;
  }

  /** Copies the UUID, because a view would keep the memory of the whole command alive. */
  attachObject(uuid: Uint8Array): void {
    this.#object = Buffer.from(uuid);
  }

  export(exported: ExportedPlane): void {
    this.#exported = exported;
  }
}

/** One buffer of a queue, with its planes. */
export class VideoBuffer {
  #request = 0;
  #isPrepared = false;
  #ioctl: NodeCall | null = null;

  constructor(
    readonly index: number,
    readonly planes: VideoPlane[] = [],
  ) {}

  /** Request handle of the request that the guest queued the buffer to; 0: none. */
  get request(): number {
    return this.#request;
  }

  /** PREPARE_BUF has succeeded: QBUF uses the memory of PREPARE_BUF and ignores what the guest sends. */
  get isPrepared(): boolean {
    return this.#isPrepared;
  }

  /** The QBUF call that gave the buffer to the driver, to repeat it; null: there is none, or it cannot be repeated. */
  get ioctl(): NodeCall | null {
    return this.#ioctl;
  }

  /** Bytes of all planes together. */
  get bytes(): number {
    return this.planes.reduce((sum, { length }) => sum + length, 0);
  }

  /** QBUF has succeeded. `request`: request handle, or 0. `ioctl`: the call, or null if it cannot be repeated. */
  queued(request: number, ioctl: NodeCall | null): void {
    this.#request = request;
    this.#ioctl = ioctl;
  }

  /** True: PREPARE_BUF has succeeded. False: the next QBUF may name other memory. */
  prepare(isPrepared: boolean): void {
    this.#isPrepared = isPrepared;
  }
}
