/**
 * Pictures of a producer, with a number. Every four bytes contain the number and their place, so that no part of one
 * picture is right in another.
 */
import assert from 'node:assert/strict';

/** Bits of the place. The other 12 bits have the number, so pictures 4096 apart are the same. */
const PLACE_BITS = 20;

/** `bytes`: how long it is, a multiple of four and at most 4 MiB. */
export function numberedPicture(number: number, bytes: number): Buffer {
  const words = new Uint32Array(bytes / 4);
  for (let place = 0; place < words.length; place++) words[place] = (number << PLACE_BITS) | place;
  return Buffer.from(words.buffer);
}

/** The number of the picture whose bytes come first. */
export function numberOf(picture: Uint8Array): number {
  return Buffer.from(picture.subarray(0, 4)).readUInt32LE() >>> PLACE_BITS;
}

/** Checks every byte. `number`: of the picture that it must be. Absent: it may be any. */
export function verifyPicture(picture: Uint8Array, number = numberOf(picture)): void {
  const wanted = numberedPicture(number, picture.length);
  if (wanted.equals(picture)) return;
  const wrong = wanted.findIndex((byte, i) => byte !== picture[i]);
  const other = numberOf(picture.subarray(wrong & ~3));
  assert.fail(`byte ${wrong} is of picture ${other} instead of ${number}`);
}
