/** Guest memory as lists of guest-physical ranges, as a driver gives it to a device. */

export interface GuestRam {
  /** Live bytes of guest memory. RangeError if the range is not in one region. */
  view(address: number, length: number): Uint8Array;
}

/** A range of guest memory: guest-physical address, and length in bytes. */
export interface Piece {
  readonly address: number;
  readonly length: number;
}

/** Bytes of all pieces together. */
export function lengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/**
 * Cuts the pieces into smaller ones with the same bytes. The n-th new piece has `lengths[n]` bytes (the last length
 * repeats). It has fewer bytes if the input piece ends before.
 */
export function cut(pieces: readonly Piece[], lengths: readonly number[]): Piece[] {
  const out: Piece[] = [];
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const wanted = lengths[Math.min(out.length, lengths.length - 1)] ?? piece.length;
      const length = Math.min(Math.max(1, wanted), piece.length - at);
      out.push({ address: piece.address + at, length });
      at += length;
    }
  }
  return out;
}

/** A copy of the first `limit` bytes of the pieces. */
export function gather(ram: GuestRam, pieces: readonly Piece[], limit = Number.POSITIVE_INFINITY): Buffer {
  const copies: Uint8Array[] = [];
  let left = limit;
  for (const { address, length } of pieces) {
    if (left <= 0) break;
    copies.push(ram.view(address, Math.min(length, left)));
    left -= length;
  }
  return Buffer.concat(copies);
}

/** Writes `bytes` into the pieces, in order. RangeError if the pieces are too small. */
export function scatter(ram: GuestRam, pieces: readonly Piece[], bytes: Uint8Array): void {
  let at = 0;
  for (const { address, length } of pieces) {
    const part = bytes.subarray(at, at + length);
    ram.view(address, part.length).set(part);
    at += part.length;
  }
  if (at < bytes.length) throw new RangeError(`${bytes.length} bytes do not fit pieces of ${at}`);
}
