/** What the virtio-media device needs from its transport. The vhost-user back-end implements it. */

/**
 * SHM region 0, which the VMM maps into the guest. Offsets and lengths are bytes, and multiples of the host page
 * size.
 */
export interface SharedMemoryTransport {
  /** Bytes of region 0. 0: the VMM offers no shared memory, so the guest cannot map MMAP buffers. */
  readonly size: number;
  /** True: mappings stay when the guest resets the device (crosvm, libkrun). False: they are gone then (QEMU). */
  readonly survivesReset: boolean;
  /** `arena`: the VMM works best with one mapping for all buffers. `direct`: with one mapping for each buffer. */
  readonly prefers: 'arena' | 'direct';
  /**
   * Asks the VMM to map `length` bytes at `fileOffset` of `fd` at `offset` of the region, readable and writable. The
   * caller keeps the descriptor and may close it when map() has returned, because it is sent before. The loop never
   * waits for the VMM. `done` is called exactly once, after map() has returned, with 0 or an errno:
   * - EBUSY: the device does not run. Nothing was sent.
   * - ENOMEM: the VMM takes no more mappings. Nothing was sent.
   * - EIO: the VMM refused.
   * - ECONNRESET: the VMM has left.
   */
  map(fd: number, fileOffset: number, offset: number, length: number, done: (errno: number) => void): void;
  /** Asks the VMM to remove exactly one earlier mapping. `done`: as in map(). */
  unmap(offset: number, length: number, done: (errno: number) => void): void;
}

/**
 * Shared objects: memory that other devices of the VM may ask for by its UUID (16 bytes). The methods neither wait
 * nor fail. The VMM is told while the device runs, if it can share objects. It remembers the objects across a stop
 * and a reset, until the connection ends.
 */
export interface ObjectTransport {
  /** Tells the VMM about an object that other devices may ask for. Calling it twice is harmless. */
  addObject(uuid: Uint8Array): void;
  /** Tells the VMM that the object is gone. An object that was never added is ignored. */
  removeObject(uuid: Uint8Array): void;
}
