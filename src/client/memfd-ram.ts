/** The guest's RAM: one memfd, announced to the back-end as one or more regions. */
import { closeSync } from 'node:fs';
import { native, type Region } from '../native.js';
import type { GuestRam, Piece } from './pieces.js';
import { regionView } from './region-view.js';

/** A region for SET_MEM_TABLE and ADD_MEM_REG, in bytes. The descriptor still belongs to its owner. */
export interface AnnouncedRegion {
  readonly guestAddress: number;
  readonly size: number;
  readonly userAddress: number;
  readonly fileOffset: number;
  readonly fd: number;
}

/** Distance from a guest-physical address to the front-end's own address: the two are never equal by accident. */
export const USER_ADDRESS_OFFSET = 0x7e00_0000_0000;

export class MemfdRam implements GuestRam {
  readonly regions: readonly AnnouncedRegion[];
  readonly #fd: number;
  readonly #mapped: Region;

  /** `ranges`: guest-physical addresses and lengths, multiples of the page size. Throws a system error. */
  constructor(ranges: readonly Piece[]) {
    const total = ranges.reduce((sum, range) => sum + range.length, 0);
    this.#fd = native.memoryFile('guest-ram', total);
    try {
      this.#mapped = new native.Region(this.#fd, 0, total);
    } catch (error) {
      closeSync(this.#fd);
      throw error;
    }
    let fileOffset = 0;
    this.regions = ranges.map(({ address, length }) => {
      const region = {
        guestAddress: address,
        size: length,
        userAddress: address + USER_ADDRESS_OFFSET,
        fileOffset,
        fd: this.#fd,
      };
      fileOffset += length;
      return region;
    });
  }

  view(address: number, length: number): Uint8Array {
    for (const { guestAddress, size, fileOffset } of this.regions)
      if (address >= guestAddress && address + length <= guestAddress + size)
        return regionView(this.#mapped, fileOffset + address - guestAddress, length);
    throw new RangeError(
      `${length} bytes at 0x${address.toString(16)} are not in one region of the guest's RAM`,
    );
  }

  close(): void {
    this.#mapped.close();
    closeSync(this.#fd);
  }
}
