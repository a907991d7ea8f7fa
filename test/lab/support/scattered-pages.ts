/** Guest memory without a VMM: pages of a memfd in any order. */
import { closeSync } from 'node:fs';
import { type LinearMapping, native, type Region, type RegionPiece } from '../../../src/native.js';
import { resultOf } from '../../../src/result.js';
import { vmasOf } from '../../addon/support/address-space.js';
import { success } from '../../unit/support/success.js';

export const PAGE = 4096;
const UNTOUCHED = 0xee;

export class ScatteredMemory {
  readonly region: Region;
  readonly #fd: number;
  readonly #bytes: Buffer;

  constructor(
    readonly name: string,
    readonly pages: number,
  ) {
    this.#fd = native.memoryFile(name, pages * PAGE);
    this.region = new native.Region(this.#fd, 0, pages * PAGE);
    this.#bytes = Buffer.from(this.region.windows[0]!);
    this.clear();
  }

  clear(): void {
    this.#bytes.fill(UNTOUCHED);
  }

  /** Pieces for `length` bytes in pages that are not adjacent. The first piece starts at byte `skip` of its page. */
  pieces(first: number, length: number, skip = 0): RegionPiece[] {
    const pieces: RegionPiece[] = [];
    let page = first;
    let start = skip;
    for (let left = length; left > 0; ) {
      const taken = Math.min(PAGE - start, left);
      pieces.push({ region: this.region, offset: page * PAGE + start, length: taken });
      left -= taken;
      start = 0;
      page += 2;
    }
    return pieces.length > 2 ? [pieces[0]!, ...pieces.slice(1, -1).reverse(), pieces.at(-1)!] : pieces;
  }

  gather(pieces: readonly RegionPiece[]): Buffer {
    return Buffer.concat(pieces.map(({ offset, length }) => this.#bytes.subarray(offset, offset + length)));
  }

  isUntouched(pieces: readonly RegionPiece[]): boolean {
    return this.gather(pieces).every((byte) => byte === UNTOUCHED);
  }

  /** Joins the pieces to a linear mapping. Throws if that fails. */
  join(pieces: readonly RegionPiece[]): LinearMapping {
    return success(resultOf(native.linearMapping(pieces)));
  }

  /** Joins the pieces, and finds their address in this process. */
  joinAt(pieces: readonly RegionPiece[]): { mapping: LinearMapping; address: number } {
    const before = new Set(this.addresses());
    const mapping = this.join(pieces);
    const address = this.addresses().find((start) => !before.has(start));
    if (address === undefined) throw new Error('the mapping is not to be seen in /proc/self/maps');
    return { mapping, address };
  }

  close(): void {
    this.region.close();
    closeSync(this.#fd);
  }

  private addresses(): number[] {
    return vmasOf(this.name).map(({ start }) => start);
  }
}
