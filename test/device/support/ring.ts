/** The driver's side of a split ring, with plain offsets. It makes any head available that it is told to. */
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { join, u16, u32, u64 } from './bytes.js';
import type { Ram } from './ram.js';

export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

export interface Piece {
  readonly address: number | bigint;
  readonly length: number;
  readonly flags?: number;
}

export interface Returned {
  readonly head: number;
  readonly length: number;
}

export class Ring {
  readonly kickFd = native.eventFd();
  readonly callFd = native.eventFd();
  readonly errorFd = native.eventFd();
  readonly places: { readonly descriptors: number; readonly available: number; readonly used: number };
  /** Chains that the device has given back and that nobody has taken from here yet. */
  readonly returned: Returned[] = [];
  available = 0;
  #used = 0;
  #slot = 0;

  /** Takes 0x8000 bytes of RAM from `base`, for up to 1024 descriptors. */
  constructor(
    private readonly ram: Ram,
    readonly size: number,
    base: number,
  ) {
    this.places = { descriptors: base, available: base + 0x4000, used: base + 0x5000 };
    ram.write(base, Buffer.alloc(0x8000));
  }

  /** Writes one descriptor as it is. */
  describe(slot: number, { address, length, flags = 0 }: Piece, next = 0): void {
    this.ram.write(this.places.descriptors + 16 * slot, descriptor({ address, length, flags }, next));
  }

  /**
   * Writes a chain into free slots and returns its head. NEXT is added to the flags of the pieces; nothing else is
   * changed.
   */
  chain(pieces: readonly Piece[]): number {
    if (this.#slot + pieces.length > this.size) this.#slot = 0;
    const head = this.#slot;
    pieces.forEach((piece, at) => {
      const last = at === pieces.length - 1;
      const flags = (piece.flags ?? 0) | (last ? 0 : NEXT);
      this.describe(head + at, { ...piece, flags }, last ? 0 : head + at + 1);
    });
    this.#slot += pieces.length;
    return head;
  }

  /** Makes heads available, without a kick. */
  offer(...heads: number[]): void {
    for (const head of heads) {
      this.ram.write(this.places.available + 4 + 2 * (this.available % this.size), u16(head));
      this.available = (this.available + 1) & 0xffff;
    }
    this.publish(this.available);
  }

  /** Writes this number as the next available index, whatever was made available. */
  publish(index: number): void {
    this.ram.write(this.places.available + 2, u16(index));
  }

  kick(): void {
    native.signal(this.kickFd);
  }

  /** Takes what the device has given back. */
  poll(): void {
    const index = this.ram.bytes.readUInt16LE(this.ram.at(this.places.used + 2));
    while (this.#used !== index) {
      const at = this.ram.at(this.places.used + 4 + 8 * (this.#used % this.size));
      this.returned.push({
        head: this.ram.bytes.readUInt32LE(at),
        length: this.ram.bytes.readUInt32LE(at + 4),
      });
      this.#used = (this.#used + 1) & 0xffff;
    }
  }

  /** Resets the ring: empty, at index 0. */
  clear(): void {
    this.ram.write(this.places.descriptors, Buffer.alloc(0x8000));
    this.returned.length = 0;
    this.available = 0;
    this.#used = 0;
    this.#slot = 0;
  }

  close(): void {
    for (const fd of [this.kickFd, this.callFd, this.errorFd]) closeSync(fd);
  }
}

export function descriptor({ address, length, flags = 0 }: Piece, next: number): Buffer {
  return join(u64(address), u32(length), u16(flags, next));
}

/** Whether an eventfd was signalled since the last call. Resets its count. */
export function isSignalled(fd: number): boolean {
  return native.drain(fd) > 0;
}
