/** An anonymous file of memory that is shared with the guest or the VMM: the arena of MMAP buffers, the client's RAM. */
import { closeSync } from 'node:fs';
import { native, type Region } from '../native.js';

/** The bytes of a mapped region as views; more than one where the range is long and crosses a window. */
export function regionSlices(region: Region, offset: number, length: number): Uint8Array[] {
  const slices: Uint8Array[] = [];
  for (let at = offset; at < offset + length; ) {
    const window = Math.floor(at / native.WINDOW_STRIDE);
    const start = at - window * native.WINDOW_STRIDE;
    const buffer = region.windows[window];
    if (!buffer || start >= buffer.byteLength)
      throw new RangeError(`${at} lies outside a region of ${region.size} bytes`);
    const piece = Math.min(offset + length - at, buffer.byteLength - start);
    slices.push(new Uint8Array(buffer, start, piece));
    at += piece;
  }
  return slices;
}

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
    this.region = new native.Region(this.fd, 0, size);
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

/** Copies `length` bytes between two regions. */
export function copyRegion(
  from: Region,
  fromOffset: number,
  to: Region,
  toOffset: number,
  length: number,
): void {
  let at = 0;
  for (const target of regionSlices(to, toOffset, length)) {
    let done = 0;
    for (const source of regionSlices(from, fromOffset + at, target.length)) {
      target.set(source, done);
      done += source.length;
    }
    at += target.length;
  }
}
