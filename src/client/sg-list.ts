/** SG lists after a payload (VIRTIO 1.4, Media Device, "Memory Types" and "Ioctls with pointers"). */
import { sgEntry } from '../media/protocol.js';
import type { Piece } from './pieces.js';

/** Value of the reserved word. The Linux driver builds the lists in memory that it has used before. */
const STALE = 0x5a5a_5a5a;

/** The entries of an SG list, one for each piece. */
export function sgList(pieces: readonly Piece[]): Buffer {
  return Buffer.concat(
    pieces.map(({ address, length }) => sgEntry.encode({ start: address, length, reserved: STALE })),
  );
}
