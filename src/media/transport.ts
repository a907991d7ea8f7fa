/** What the virtio-media device needs from whatever carries it. The vhost-user back-end supplies it. */

/** SHM region 0 as the VMM maps it into the guest. Offsets and lengths in bytes, multiples of the host page size. */
export interface SharedMemoryTransport {
  /** Size of region 0; 0: the VMM offers no shared memory, MMAP buffers cannot be mapped. */
  readonly size: number;
  /** Whether what is mapped stays mapped when the guest resets the device (crosvm, libkrun) or vanishes (QEMU). */
  readonly survivesReset: boolean;
  /** Whether the VMM prefers one mapping for everything (`arena`) to one a buffer (`direct`). */
  readonly prefers: 'arena' | 'direct';
  /**
   * Asks the VMM to map `length` bytes at `fileOffset` of `fd` at `offset` of the region, readable and writable.
   * The descriptor is borrowed: it is sent before map() returns. `done` is called exactly once, never before map()
   * has returned: 0, EBUSY when the device is not running and ENOMEM when as much is mapped as the VMM takes (nothing
   * was sent), EIO when the VMM refused, ECONNRESET when it went away. Nothing ever waits for it.
   */
  map(fd: number, fileOffset: number, offset: number, length: number, done: (errno: number) => void): void;
  /** Takes back exactly one earlier mapping; same rules. */
  unmap(offset: number, length: number, done: (errno: number) => void): void;
}

/**
 * Shared objects: memory that other devices of the VM may ask for by its UUID (16 bytes). Nothing is waited for, and
 * nothing fails: the VMM is told when the device runs and the VMM is one that shares objects. It keeps what it was
 * told over a stop and a reset, until the connection ends.
 */
export interface ObjectTransport {
  /** Tells the VMM of an object that others may ask for. Twice is harmless. */
  addObject(uuid: Uint8Array): void;
  /** The object is gone. One that was never added is ignored. */
  removeObject(uuid: Uint8Array): void;
}
