/** Lists of struct virtio_media_sg_entry (VIRTIO 1.4, Media Device, "Handling of pointers to userspace memory"). */
import { Errno } from '../errno.js';
import type { RegionPiece } from '../native.js';
import { type GuestMemory, GuestMemoryError } from '../virtio/guest-memory.js';
import { sgEntry } from './protocol.js';

/** A piece of guest memory. */
export interface Piece {
  readonly start: number;
  readonly length: number;
}

/** Reads lists that follow one another. The number of entries is implied: as many as cover the bytes. */
export class SgLists {
  #at = 0;

  constructor(private readonly bytes: Buffer) {}

  /** The next list, which covers exactly `size` bytes, or EINVAL where it does not. Nothing is looked up. */
  next(size: number): Piece[] | number {
    const pieces: Piece[] = [];
    for (let covered = 0; covered < size; ) {
      if (this.#at + sgEntry.size > this.bytes.length) return Errno.EINVAL;
      const { start, length } = sgEntry.read(this.bytes, this.#at);
      this.#at += sgEntry.size;
      const piece = Math.min(length, size - covered);
      if (piece === 0 || !Number.isSafeInteger(start + piece)) return Errno.EINVAL;
      pieces.push({ start, length: piece });
      covered += piece;
    }
    return pieces;
  }
}

/** Where all pieces are in memory that is mapped here, in order, or EFAULT where one is not in guest memory. */
export function locate(memory: GuestMemory, pieces: readonly Piece[]): RegionPiece[] | number {
  try {
    return pieces.flatMap(({ start, length }) => memory.pieces(start, length));
  } catch (error) {
    if (error instanceof GuestMemoryError) return Errno.EFAULT;
    throw error;
  }
}
