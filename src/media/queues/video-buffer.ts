/** One buffer of a queue and its planes: what the guest believes of them, and what the host has for them. */
import type { NodeCall, PlaneMemory, Region } from '../../native.js';
import type { GuestPages } from '../memory/guest-pages.js';
import type { ExportedPlane } from '../memory/objects.js';
import type { SharedMemorySlot } from '../memory/shared-memory.js';

/** A v4l2_buffer and its planes in the form that the host kernel gets. */
export interface HostBuffer {
  readonly buffer: Buffer;
  readonly planes?: Buffer;
  readonly memory?: readonly PlaneMemory[];
  readonly descriptors?: readonly number[];
}

/** The guest's own memory behind a plane. */
export interface PlanePages {
  /** v4l2_plane.m.userptr as the guest gave it. */
  readonly m: Uint8Array;
  /** Bytes, as the guest gave them: at least those of the host's plane. */
  readonly length: number;
  readonly memory: GuestPages;
}

/** One plane. A single-planar buffer has one as well. */
export class VideoPlane {
  #slot: SharedMemorySlot | null;
  #host: Region | null;
  #pages: PlanePages | null = null;
  #object: Uint8Array | null = null;
  #exported: ExportedPlane | null = null;

  /**
   * @param length bytes of the host's plane.
   * @param mmapOffset the offset that the guest passes to mmap: the bridge's own, never the host's.
   */
  constructor(
    readonly length: number,
    readonly mmapOffset: number,
    memory: { readonly slot?: SharedMemorySlot | null; readonly host?: Region | null } = {},
  ) {
    this.#slot = memory.slot ?? null;
    this.#host = memory.host ?? null;
  }

  /** The place of the plane in SHM region 0; null: it has none, or (backing `direct`) it is not mapped yet. */
  get slot(): SharedMemorySlot | null {
    return this.#slot;
  }

  /** The host's buffer, mapped here (copy, pages-copy), or the memory that replaces pages which cannot be joined. */
  get host(): Region | null {
    return this.#host;
  }

  /** SHARED_PAGES: the guest's pages of the last QBUF or PREPARE_BUF. */
  get pages(): PlanePages | null {
    return this.#pages;
  }

  /** OBJECT: the UUID of the last QBUF or PREPARE_BUF. */
  get object(): Uint8Array | null {
    return this.#object;
  }

  /** The object that EXPBUF made of the plane. */
  get exported(): ExportedPlane | null {
    return this.#exported;
  }

  /** The plane is mapped into the guest for the first time (backing `direct`). */
  place(slot: SharedMemorySlot): void {
    this.#slot = slot;
  }

  /** The host memory of the plane; it is made when it is first needed. */
  hostMemory(make: () => Region): Region {
    this.#host ??= make();
    return this.#host;
  }

  attachPages(pages: PlanePages): void {
    this.#pages = pages;
  }

  /** Keeps a copy of the UUID: a view would keep the whole command. */
  attachObject(uuid: Uint8Array): void {
    this.#object = Buffer.from(uuid);
  }

  export(exported: ExportedPlane): void {
    this.#exported = exported;
  }
}

export class VideoBuffer {
  #request = 0;
  #isPrepared = false;
  #ioctl: NodeCall | null = null;

  constructor(
    readonly index: number,
    readonly planes: VideoPlane[] = [],
  ) {}

  /** The request that it was queued to, by the guest's handle; 0: none. */
  get request(): number {
    return this.#request;
  }

  /** PREPARE_BUF has fixed its memory: QBUF takes no other. */
  get isPrepared(): boolean {
    return this.#isPrepared;
  }

  /** The QBUF that gave it to the driver, to be done again; null: there was none, or it cannot be repeated. */
  get ioctl(): NodeCall | null {
    return this.#ioctl;
  }

  /** Bytes of all planes. */
  get bytes(): number {
    return this.planes.reduce((sum, { length }) => sum + length, 0);
  }

  /** QBUF has succeeded. `ioctl`: the call, if it can be repeated. */
  queued(request: number, ioctl: NodeCall | null): void {
    this.#request = request;
    this.#ioctl = ioctl;
  }

  /** PREPARE_BUF has succeeded (true), or the memory of the next QBUF is free again (false). */
  prepare(isPrepared: boolean): void {
    this.#isPrepared = isPrepared;
  }
}
