/** Bytes of a mapped region through its windows. */
import { type LinearMapping, native, type Region, type RegionPiece } from '../native.js';

/** As much of [offset, offset + wanted) as one window holds: everything up to WINDOW_OVERLAP bytes. */
export function windowAt(region: Region, offset: number, wanted: number): Uint8Array {
  const index = Math.floor(offset / native.WINDOW_STRIDE);
  const start = offset - index * native.WINDOW_STRIDE;
  const window = region.windows[index];
  if (!window) throw new RangeError(`${offset} lies outside a region of ${region.size} bytes`);
  return new Uint8Array(window, start, Math.min(wanted, window.byteLength - start));
}

/** All of a range; more than one view where it is long and crosses a window. Throws RangeError outside the region. */
export function regionSlices(region: Region, offset: number, length: number): Uint8Array[] {
  if (offset < 0 || offset + length > region.size)
    throw new RangeError(`${offset} + ${length} exceeds ${region.size} bytes`);
  const slices: Uint8Array[] = [];
  for (let at = offset; at < offset + length; at += slices.at(-1)!.length) {
    slices.push(windowAt(region, at, offset + length - at));
  }
  return slices;
}

/** The same pages once more, one after the other. An errno where they cannot be joined: a piece ends inside a page. */
export function join(pieces: readonly RegionPiece[]): LinearMapping | number {
  return native.linearMapping(pieces);
}

/** Copies the first `length` bytes of `from` to the first of `to`, each a list of pieces at least that long. */
export function copyPieces(from: readonly RegionPiece[], to: readonly RegionPiece[], length: number): void {
  const sources = from.flatMap((piece) => regionSlices(piece.region, piece.offset, piece.length));
  const targets = to.flatMap((piece) => regionSlices(piece.region, piece.offset, piece.length));
  let [source, target] = [sources.shift(), targets.shift()];
  for (let left = length; left > 0 && source && target; ) {
    const bytes = Math.min(source.length, target.length, left);
    target.set(source.subarray(0, bytes));
    left -= bytes;
    source = source.length > bytes ? source.subarray(bytes) : sources.shift();
    target = target.length > bytes ? target.subarray(bytes) : targets.shift();
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
