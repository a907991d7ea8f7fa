/** Bytes of a mapped region through its windows. */
import { native, type Region } from '../native.js';

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
