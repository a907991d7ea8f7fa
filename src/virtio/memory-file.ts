/** An anonymous file of memory, shared with the guest or the VMM: the arena of MMAP buffers, the client's RAM. */
import { closeSync } from 'node:fs';
import { native, type Region } from '../native.js';
import { regionSlices } from './region-bytes.js';

/** The file, its descriptor and its mapping. close() releases all and may be called twice. */
export class MemoryFile {
  readonly fd: number;
  readonly region: Region;
  #closed = false;

  /**
   * The file has `size` bytes. It is sealed against shrinking, so a mapping never faults, and against growing. Pages
   * are allocated when they are touched. Throws if the file cannot be made or mapped.
   */
  constructor(
    name: string,
    readonly size: number,
  ) {
    this.fd = native.memoryFile(name, size);
    try {
      this.region = new native.Region(this.fd, 0, size);
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  /** Views of a range, in order. Throws RangeError outside the file. */
  slices(offset: number, length: number): Uint8Array[] {
    return regionSlices(this.region, offset, length);
  }

  /** Gives the pages back to the kernel. The range then reads as zeros in every mapping. */
  clear(offset: number, length: number): void {
    if (!this.#closed) native.punchHole(this.fd, offset, length);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.region.close();
    closeSync(this.fd);
  }
}

/** New memory that no other process sees, as a region of `size` bytes. Throws if it cannot be mapped. */
export function privateRegion(name: string, size: number): Region {
  const fd = native.memoryFile(name, size);
  try {
    return new native.Region(fd, 0, size);
  } finally {
    closeSync(fd);
  }
}
