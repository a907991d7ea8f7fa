/** Scatter-gather lists behind a payload (VIRTIO 1.4, Media Device, "Memory Types" and "Ioctls with pointers"). */
import { sgEntry } from '../media/protocol.js';
import type { Piece } from './pieces.js';

/** The Linux driver builds the lists in memory that it has used before. */
const STALE = 0x5a5a_5a5a;

export function sgList(pieces: readonly Piece[]): Buffer {
  return Buffer.concat(
    pieces.map(({ address, length }) => sgEntry.encode({ start: address, length, reserved: STALE })),
  );
}
