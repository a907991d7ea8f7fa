/** The arena: one sealed memory file that the VMM maps into SHM region 0 once, for all slots in it. */
import { Errno } from '../../errno.js';
import { MemoryFile } from '../../virtio/memory-file.js';
import type { SharedMemoryTransport } from '../transport.js';
import type { VmmMappings } from './vmm-mappings.js';

export class Arena {
  #file: MemoryFile | null = null;
  #mapped: Promise<number> | null = null;
  /** The VMM has confirmed that the arena is mapped. */
  #isShown = false;
  #resets = 0;
  #isClosed = false;

  /** `size` bytes from byte `base` of the region on. */
  constructor(
    private readonly transport: SharedMemoryTransport,
    private readonly vmm: VmmMappings,
    readonly base: number,
    readonly size: number,
  ) {}

  /** The memory of this process. Throws if it cannot be made. */
  get region(): MemoryFile['region'] {
    return this.#made().region;
  }

  /** Zeroes bytes of the file. */
  clear(offset: number, bytes: number): void {
    this.#file?.clear(offset, bytes);
  }

  /** Maps the arena if it is not mapped. Resolves to an errno; 0: the guest can use it; EINTR: a reset came. */
  async show(): Promise<number> {
    this.#made();
    const resets = this.#resets;
    const mapping = this.#mapped ?? this.#map();
    this.#mapped = mapping;
    const errno = await mapping;
    if (errno !== 0) {
      if (this.#mapped === mapping) this.#mapped = null;
      return errno;
    }
    const isLate = resets !== this.#resets;
    if (!isLate || this.transport.survivesReset) this.#isShown = true;
    return isLate ? Errno.EINTR : 0;
  }

  /** Unmaps the arena. Calling it twice is harmless. */
  hide(): void {
    if (!this.#isShown) return;
    this.#gone();
    const resets = this.#resets;
    this.vmm.unmap(this.base, this.size, (errno) => {
      // EBUSY: nothing was sent because the VM is paused, so the arena is still mapped.
      if (errno !== Errno.EBUSY || resets !== this.#resets) return;
      this.#mapped ??= Promise.resolve(0);
      this.#isShown = true;
    });
  }

  /** The guest has reset the device. Some VMMs drop their mappings then. */
  reset(): void {
    this.#resets++;
    if (!this.transport.survivesReset) this.#gone();
  }

  /** The VMM is gone. */
  close(): void {
    this.#isClosed = true;
    this.#file?.close();
    this.#file = null;
  }

  #made(): MemoryFile {
    this.#file ??= new MemoryFile('virtio-media-arena', this.size);
    return this.#file;
  }

  #gone(): void {
    this.#mapped = null;
    this.#isShown = false;
  }

  async #map(): Promise<number> {
    const resets = this.#resets;
    await this.vmm.settled();
    if (resets !== this.#resets && !this.transport.survivesReset) return Errno.EINTR;
    if (this.#isClosed) return Errno.ECONNRESET;
    return this.#isShown ? 0 : this.vmm.map(this.#made().fd, this.base, this.size);
  }
}
