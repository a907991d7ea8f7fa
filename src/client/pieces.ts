/** Guest memory as a driver hands it to a device: lists of ranges of guest-physical addresses. */

export interface GuestRam {
  /** A live window of guest memory. RangeError unless the whole range lies in one region. */
  view(address: number, length: number): Uint8Array;
}

export interface Piece {
  readonly address: number;
  readonly length: number;
}

export function lengthOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, piece) => sum + piece.length, 0);
}

/**
 * The same bytes as smaller pieces: the n-th piece that comes out has `lengths[n]` bytes (the last length repeats),
 * or fewer where an input piece ends.
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

/** The first `limit` bytes behind the pieces, copied. */
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

/** Writes `bytes` over the pieces, in order. RangeError when they are too small. */
export function scatter(ram: GuestRam, pieces: readonly Piece[], bytes: Uint8Array): void {
  let at = 0;
  for (const { address, length } of pieces) {
    const part = bytes.subarray(at, at + length);
    ram.view(address, part.length).set(part);
    at += part.length;
  }
  if (at < bytes.length) throw new RangeError(`${bytes.length} bytes do not fit pieces of ${at}`);
}
