/** Allocator of guest memory, in the role of the guest's kernel. */
import type { GuestRam, Piece } from './pieces.js';

interface Gap {
  start: number;
  end: number;
}

/** One allocation for all structs of a command. */
export interface Block<P extends readonly Piece[] = readonly Piece[]> {
  readonly pieces: P;
  /** Live bytes of struct number `index`. */
  bytes(index: number): Uint8Array;
  release(): void;
}

export class Heap {
  readonly #gaps: Gap[][];
  readonly #taken = new Map<number, { range: number; end: number }>();
  #turn = 0;

  /** `ranges`: memory that nothing else uses. Allocations alternate between the ranges, so every range is used. */
  constructor(
    readonly ram: GuestRam,
    ranges: readonly Piece[],
  ) {
    this.#gaps = ranges.map(({ address, length }) => [{ start: address, end: address + length }]);
  }

  /** Free bytes. */
  get available(): number {
    return this.#gaps.flat().reduce((sum, gap) => sum + gap.end - gap.start, 0);
  }

  /** Address of `length` zeroed, contiguous bytes in one range. RangeError if no range has room. */
  allocate(length: number, alignment = 64): number {
    const ranges = this.#gaps.length;
    const first = this.#turn++ % ranges;
    for (let i = 0; i < ranges; i++) {
      const address = this.#take((first + i) % ranges, length, alignment);
      if (address === undefined) continue;
      this.ram.view(address, length).fill(0);
      return address;
    }
    throw new RangeError(
      `the client's guest memory is used up: ${length} bytes wanted, ${this.available} free in pieces`,
    );
  }

  /** Frees an allocation by its address. RangeError if there is none. */
  release(address: number): void {
    const taken = this.#taken.get(address);
    if (!taken) throw new RangeError(`0x${address.toString(16)} is not allocated`);
    this.#taken.delete(address);
    const gaps = this.#gaps[taken.range]!;
    gaps.push({ start: address, end: taken.end });
    gaps.sort((a, b) => a.start - b.start);
    for (let i = gaps.length - 1; i > 0; i--) {
      if (gaps[i - 1]!.end !== gaps[i]!.start) continue;
      gaps[i - 1]!.end = gaps[i]!.end;
      gaps.splice(i, 1);
    }
  }

  /** One allocation with a struct of each length (bytes), aligned to 64 bytes. A length of 0 gives an empty piece. */
  block<L extends readonly number[]>(...lengths: L): Block<{ [K in keyof L]: Piece }> {
    let total = 0;
    const offsets = lengths.map((length) => {
      const at = total;
      total += Math.ceil(length / 64) * 64;
      return at;
    });
    const base = this.allocate(Math.max(64, total));
    const pieces = lengths.map((length, i) => ({ address: base + offsets[i]!, length }));
    return {
      pieces: pieces as { [K in keyof L]: Piece },
      bytes: (index) => this.ram.view(pieces[index]!.address, pieces[index]!.length),
      release: () => this.release(base),
    };
  }

  #take(range: number, length: number, alignment: number): number | undefined {
    const gaps = this.#gaps[range]!;
    for (const [i, gap] of gaps.entries()) {
      const start = Math.ceil(gap.start / alignment) * alignment;
      const end = start + length;
      if (end > gap.end) continue;
      const rest = [
        { start: gap.start, end: start },
        { start: end, end: gap.end },
      ];
      gaps.splice(i, 1, ...rest.filter((piece) => piece.end > piece.start));
      this.#taken.set(start, { range, end });
      return start;
    }
    return undefined;
  }
}
