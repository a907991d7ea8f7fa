/** Guest memory: one sealed memory file, shown as regions. */
import { closeSync } from 'node:fs';
import { native, type Region } from '../../../src/native.js';
import { join, u32, u64 } from './bytes.js';

export interface MemoryRegion {
  readonly guest: number;
  readonly length: number;
  readonly user: number;
  readonly file: number;
}

/** Two adjacent regions with user addresses that are not adjacent, and a third region after a hole. */
const DEFAULT: readonly MemoryRegion[] = [
  { guest: 0x4000_0000, length: 0x20_0000, user: 0x7a00_0000_0000, file: 0 },
  { guest: 0x4020_0000, length: 0x20_0000, user: 0x7b00_0000_0000, file: 0x20_0000 },
  { guest: 0x1_0000_0000, length: 0x10_0000, user: 0x7c00_0000_0000, file: 0x40_0000 },
];

export class Ram {
  readonly fd: number;
  /** All bytes of the file. */
  readonly bytes: Buffer;
  readonly #region: Region;

  constructor(readonly regions: readonly MemoryRegion[] = DEFAULT) {
    const size = Math.max(...regions.map(({ file, length }) => file + length));
    this.fd = native.memoryFile('hostile-ram', size);
    this.#region = new native.Region(this.fd, 0, size);
    this.bytes = Buffer.from(this.#region.windows[0]!);
  }

  /** Offset of a guest address in the file. */
  at(guest: number): number {
    return this.#of(guest).file + guest - this.#of(guest).guest;
  }

  /** The VMM's user address for a guest address. */
  user(guest: number): number {
    return this.#of(guest).user + guest - this.#of(guest).guest;
  }

  write(guest: number, bytes: Uint8Array): void {
    this.bytes.set(bytes, this.at(guest));
  }

  read(guest: number, length: number): Buffer {
    return Buffer.from(this.bytes.subarray(this.at(guest), this.at(guest) + length));
  }

  /** Body of SET_MEM_TABLE. */
  get table(): Buffer {
    return join(u32(this.regions.length, 0), ...this.regions.map(regionBytes));
  }

  close(): void {
    this.#region.close();
    closeSync(this.fd);
  }

  #of(guest: number): MemoryRegion {
    const found = this.regions.find((each) => guest >= each.guest && guest < each.guest + each.length);
    if (!found) throw new RangeError(`0x${guest.toString(16)} is not in guest memory`);
    return found;
  }
}

export function regionBytes({ guest, length, user, file }: MemoryRegion): Buffer {
  return u64(guest, length, user, file);
}
