/** A range of bytes in a mapped region. */
import { native, type Region } from '../native.js';

/** Live bytes at `offset`. RangeError if they are not in the region, or not in one window (ArrayBuffer) of it. */
export function regionView(region: Region, offset: number, length: number): Uint8Array {
  const index = Math.min(Math.floor(offset / native.WINDOW_STRIDE), region.windows.length - 1);
  const window = region.windows[index];
  const start = offset - index * native.WINDOW_STRIDE;
  if (!window || offset < 0 || length < 0 || start + length > window.byteLength)
    throw new RangeError(`${length} bytes at ${offset} are not in a region of ${region.size}`);
  return new Uint8Array(window, start, length);
}
