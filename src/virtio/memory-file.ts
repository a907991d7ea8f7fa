/** An anonymous file of memory that is shared with the guest or the VMM: the arena of MMAP buffers, the client's RAM. */
import { closeSync } from 'node:fs';
import { native, type Region } from '../native.js';
import { regionSlices } from './region-bytes.js';

export class MemoryFile {
  readonly fd: number;
  readonly region: Region;
  #closed = false;

  /** Sealed against shrinking (a mapping never faults) and growing. Pages are allocated when touched. Throws. */
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

  slices(offset: number, length: number): Uint8Array[] {
    return regionSlices(this.region, offset, length);
  }

  /** Gives the pages back: the range reads as zeros, in every mapping. */
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

/** Memory that nobody else sees, as a region. Throws. */
export function privateRegion(name: string, size: number): Region {
  const fd = native.memoryFile(name, size);
  try {
    return new native.Region(fd, 0, size);
  } finally {
    closeSync(fd);
  }
}
