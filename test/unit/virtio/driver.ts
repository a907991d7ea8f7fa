/**
 * A guest for the tests: RAM in a memory file, and the driver's side of a split ring, written with plain offsets. It
 * shares no code with src/virtio. The numbers are those of VIRTIO 1.4, 2.7.5, 2.7.6 and 2.7.8.
 */
import { closeSync, openSync } from 'node:fs';
import { native, type Region } from '../../../src/native.js';

export const NEXT = 1;
export const WRITE = 2;
export const INDIRECT = 4;

/** Another descriptor of the same memory file, for a function that closes it. */
export function anotherDescriptor(fd: number): number {
  return openSync(`/proc/self/fd/${fd}`, 'r+');
}

export class GuestRam {
  readonly fd: number;
  readonly bytes: Buffer;
  readonly #region: Region;

  constructor(readonly size: number) {
    this.fd = native.memoryFile('test-ram', size);
    this.#region = new native.Region(this.fd, 0, size);
    this.bytes = Buffer.from(this.#region.windows[0]!);
  }

  close(): void {
    this.#region.close();
    closeSync(this.fd);
  }
}

export interface Piece {
  address: number;
  length: number;
  flags?: number;
  next?: number;
}

/** The driver's side of a ring. All places are offsets into `ram`. */
export class DriverRing {
  availableIndex: number;

  constructor(
    readonly ram: Buffer,
    readonly size: number,
    readonly place: { descriptors: number; available: number; used: number },
    start = 0,
  ) {
    this.availableIndex = start;
    ram.writeUInt16LE(start, place.available + 2);
    ram.writeUInt16LE(start, place.used + 2);
  }

  /** Writes descriptor `index` of the ring's table, or of the table at offset `table`. */
  describe(
    index: number,
    { address, length, flags = 0, next = 0 }: Piece,
    table = this.place.descriptors,
  ): void {
    const at = table + 16 * index;
    this.ram.writeBigUInt64LE(BigInt(address), at);
    this.ram.writeUInt32LE(length, at + 8);
    this.ram.writeUInt16LE(flags, at + 12);
    this.ram.writeUInt16LE(next, at + 14);
  }

  /** Writes a chain of consecutive descriptors from `first` on: readable pieces, then writable ones. */
  chain(first: number, readable: Piece[], writable: Piece[], table = this.place.descriptors): void {
    const pieces = [...readable, ...writable];
    pieces.forEach((piece, position) => {
      const last = position === pieces.length - 1;
      const flags = (position >= readable.length ? WRITE : 0) | (last ? 0 : NEXT);
      this.describe(first + position, { ...piece, flags, next: last ? 0 : first + position + 1 }, table);
    });
  }

  /** Makes heads available and publishes them at once. */
  offer(...heads: number[]): void {
    for (const head of heads) {
      this.ram.writeUInt16LE(head, this.place.available + 4 + 2 * (this.availableIndex % this.size));
      this.availableIndex = (this.availableIndex + 1) % 65536;
    }
    this.ram.writeUInt16LE(this.availableIndex, this.place.available + 2);
  }

  set availableFlags(flags: number) {
    this.ram.writeUInt16LE(flags, this.place.available);
  }

  /** EVENT_IDX: asks for a notification at the next used element. */
  awaitUsed(): void {
    this.usedEvent = this.usedIndex;
  }

  set usedEvent(index: number) {
    this.ram.writeUInt16LE(index, this.place.available + 4 + 2 * this.size);
  }

  get availEvent(): number {
    return this.ram.readUInt16LE(this.place.used + 4 + 8 * this.size);
  }

  get usedFlags(): number {
    return this.ram.readUInt16LE(this.place.used);
  }

  get usedIndex(): number {
    return this.ram.readUInt16LE(this.place.used + 2);
  }

  /** The used element that was written for used index `index`. */
  usedElement(index: number): { id: number; length: number } {
    const at = this.place.used + 4 + 8 * (index % this.size);
    return { id: this.ram.readUInt32LE(at), length: this.ram.readUInt32LE(at + 4) };
  }
}
