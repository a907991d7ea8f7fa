/** One descriptor chain: a copy of what the driver lets the device read, and the places where the device may write. */
import type { NativeRing } from '../native-ring.js';
import { Price, type Turn } from './turn.js';

/** The most bytes of a chain's device-readable part. A chain with more is malformed. */
export const MAX_READABLE = 1024 * 1024;
/** VIRTIO 1.4, 2.7.5.2: a chain is at most 2^32 bytes long in total. */
export const MAX_CHAIN_BYTES = 2 ** 32;

/** The driver made a chain that VIRTIO forbids. The chain goes back with length 0. */
export class ChainError extends Error {
  readonly code = 'ERR_CHAIN';
}

export class Chain {
  constructor(
    private readonly ring: NativeRing,
    private readonly turn: Turn,
    /** The number by which the ring knows the chain. */
    readonly id: number,
    /** Index of the first descriptor. The used ring names the chain by it. */
    readonly head: number,
    /** The whole device-readable part, copied when the chain was popped. */
    readonly readable: Buffer,
    /** Bytes of the device-writable part, and of how many pieces of memory it is. */
    readonly writableLength: number,
    readonly writablePieces: number,
  ) {}

  /**
   * Writes the parts one after the other from the start of the device-writable part, as far as they fit. Returns the
   * bytes written. Guest memory may have changed since the chain was popped: if a place is gone, nothing is written
   * and the result is 0. The rest of the writable part stays as the driver left it.
   */
  reply(parts: readonly Uint8Array[]): number {
    let wanted = 0;
    for (const { length } of parts) wanted += length;
    const total = Math.min(wanted, this.writableLength);
    this.turn.spend(Math.max(Price.PIECE * Math.min(this.writablePieces, total), total));
    return this.ring.reply(this.id, parts);
  }
}
