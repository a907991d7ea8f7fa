/** Seeded random numbers (SplitMix32): the same seed gives the same numbers on every host. */

/** Values at which sizes, counts and indices often go wrong. None is the upper half of a user-space address. */
const edges: readonly number[] = [
  0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 257, 4095, 4096, 4097, 0xffff,
  0x1_0000, 0x10_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_fffe, 0xffff_ffff,
];

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A generator for `name`: two fuzzers with the same seed do different things. */
  static of(seed: number, name: string): Random {
    let state = seed >>> 0;
    for (const character of name) state = (Math.imul(state, 31) + character.charCodeAt(0)) >>> 0;
    return new Random(state);
  }

  u32(): number {
    this.#state = (this.#state + 0x9e37_79b9) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0_aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a_2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }

  /** A number from 0 to `count` - 1. */
  below(count: number): number {
    return this.u32() % count;
  }

  /** A number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  chance(probability: number): boolean {
    return this.u32() < probability * 0x1_0000_0000;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** One of the values. Its weight is its probability relative to the others. */
  weighted<T>(rows: readonly (readonly [weight: number, value: T])[]): T {
    let left = this.below(rows.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, value] of rows) {
      if (left < weight) return value;
      left -= weight;
    }
    throw new RangeError('no weights');
  }

  /** A 32-bit number that code often handles wrongly. */
  edge(): number {
    return this.chance(0.8) ? this.pick(edges) : this.u32();
  }

  /** A 64-bit number of this kind. */
  edge64(): bigint {
    const high = this.weighted([
      [6, 0],
      [2, 0xffff_ffff],
      [1, 0x8000_0000],
      [1, this.below(16)],
    ]);
    return (BigInt(high) << 32n) | BigInt(this.edge());
  }

  bytes(length: number): Buffer {
    const raw = Buffer.alloc(length);
    for (let at = 0; at < length; at++) raw[at] = this.u32();
    return raw;
  }

  /** Changes up to `most` 32-bit words of `bytes`, or single bits of them, in place. */
  bend(bytes: Buffer, most = 3): Buffer {
    for (let left = this.between(1, most); left > 0 && bytes.length >= 4; left--) {
      const at = 4 * this.below(bytes.length >> 2);
      const bit = (bytes.readUInt32LE(at) ^ (1 << this.below(32))) >>> 0;
      bytes.writeUInt32LE(this.chance(0.3) ? bit : this.edge(), at);
    }
    return bytes;
  }
}
