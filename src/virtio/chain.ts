/** One descriptor chain: a copy of what the driver lets the device read, and the places where the device may write. */
import { type GuestMemory, GuestMemoryError } from './guest-memory.js';
import type { Turn } from './turn.js';

/** The most bytes of a chain's device-readable part. A chain with more is malformed. */
export const MAX_READABLE = 1024 * 1024;
/** VIRTIO 1.4, 2.7.5.2: a chain is at most 2^32 bytes long in total. */
export const MAX_CHAIN_BYTES = 2 ** 32;

/** The driver made a chain that VIRTIO forbids. The chain goes back with length 0. */
export class ChainError extends Error {
  readonly code = 'ERR_CHAIN';
}

export class Chain {
  readonly #memory: GuestMemory;
  readonly #turn: Turn;
  /** Guest address and length in bytes of each device-writable piece, alternating. */
  readonly #writable: readonly number[];

  constructor(
    memory: GuestMemory,
    turn: Turn,
    /** Index of the first descriptor. The used ring names the chain by it. */
    readonly head: number,
    /** The whole device-readable part, copied when the chain was popped. */
    readonly readable: Buffer,
    writable: readonly number[],
    readonly writableLength: number,
  ) {
    this.#memory = memory;
    this.#turn = turn;
    this.#writable = writable;
  }

  /** Number of pieces of device-writable memory. */
  get writablePieces(): number {
    return this.#writable.length / 2;
  }

  /**
   * Writes the parts one after the other from the start of the device-writable part, as far as they fit. Returns the
   * bytes written. Guest memory may have changed since the chain was popped: if a place is gone, nothing is written
   * and the result is 0. The rest of the writable part stays as the driver left it.
   */
  reply(parts: readonly Uint8Array[]): number {
    let wanted = 0;
    for (const { length } of parts) wanted += length;
    const total = Math.min(wanted, this.writableLength);
    if (!this.#isThere(total)) return 0;
    let piece = 0;
    let inside = 0;
    let left = total;
    for (const part of parts) {
      for (let at = 0; at < part.length && left > 0; ) {
        const address = this.#writable[piece]!;
        const room = this.#writable[piece + 1]! - inside;
        const bytes = Math.min(part.length - at, room, left);
        this.#memory.copyIn(address + inside, part, at, bytes);
        at += bytes;
        left -= bytes;
        inside += bytes;
        if (bytes < room) continue;
        piece += 2;
        inside = 0;
      }
    }
    return total;
  }

  /** Whether the first `total` writable bytes are still in guest memory. */
  #isThere(total: number): boolean {
    try {
      for (let left = total, piece = 0; left > 0; piece += 2) {
        const bytes = Math.min(this.#writable[piece + 1]!, left);
        this.#turn.spendPiece(bytes);
        this.#memory.check(this.#writable[piece]!, bytes);
        left -= bytes;
      }
      return true;
    } catch (error) {
      if (error instanceof GuestMemoryError) return false;
      throw error;
    }
  }
}
