/** Access to the bytes of a mapped region through its windows. */
import { type LinearMapping, native, type Region, type RegionPiece } from '../native.js';
import { type Result, resultOf } from '../result.js';

/**
 * A view of [offset, offset + wanted) in bytes, or of its part that one window has. Up to WINDOW_OVERLAP bytes the
 * view is complete. Throws RangeError outside the region.
 */
export function windowAt(region: Region, offset: number, wanted: number): Uint8Array {
  const index = Math.floor(offset / native.WINDOW_STRIDE);
  const start = offset - index * native.WINDOW_STRIDE;
  const window = region.windows[index];
  if (!window) throw new RangeError(`${offset} lies outside a region of ${region.size} bytes`);
  return new Uint8Array(window, start, Math.min(wanted, window.byteLength - start));
}

/**
 * Views of a whole range, in order. A long range that crosses the end of a window has more than one view. Throws
 * RangeError outside the region.
 */
export function regionSlices(region: Region, offset: number, length: number): Uint8Array[] {
  if (offset < 0 || offset + length > region.size)
    throw new RangeError(`${offset} + ${length} exceeds ${region.size} bytes`);
  const slices: Uint8Array[] = [];
  for (let at = offset; at < offset + length; at += slices.at(-1)!.length) {
    slices.push(windowAt(region, at, offset + length - at));
  }
  return slices;
}

/**
 * Maps the pages of all pieces once more, one after the other (a linear mapping). EINVAL: they cannot be joined,
 * because a piece ends inside a page.
 */
export function join(pieces: readonly RegionPiece[]): Result<LinearMapping> {
  return resultOf(native.linearMapping(pieces));
}

/** Packs pieces for the call `join`: 16 bytes per piece with its offset, length and index in `regions`. */
export function packPieces(pieces: readonly RegionPiece[]): { regions: Region[]; pieces: Buffer } {
  const regions = [...new Set(pieces.map(({ region }) => region))];
  const packed = Buffer.alloc(pieces.length * PACKED_BYTES);
  for (const [index, { region, offset, length }] of pieces.entries()) {
    const at = index * PACKED_BYTES;
    packed.writeUInt32LE(offset % HIGH, at);
    packed.writeUInt32LE(Math.floor(offset / HIGH), at + 4);
    packed.writeUInt32LE(length, at + 8);
    packed.writeUInt32LE(regions.indexOf(region), at + 12);
  }
  return { regions, pieces: packed };
}

const PACKED_BYTES = 16;
const HIGH = 0x1_0000_0000;

/** Copies `length` bytes between two regions. Throws RangeError outside a region. */
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
