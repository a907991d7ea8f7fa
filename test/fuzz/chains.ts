/** Descriptor chains: good ones and every kind of malformed ones, and what a device must do with each. */
import { join } from '../device/support/bytes.js';
import { descriptor, INDIRECT, NEXT, WRITE } from '../device/support/ring.js';
import type { GuestRing, GuestSide } from './guest-ring.js';
import type { Random } from './random.js';

/** A descriptor. */
interface Entry {
  address: number | bigint;
  length: number;
  flags: number;
  next: number;
}

export interface MadeChain {
  readonly head: number;
  /** Bytes that the device must read. null: the chain is malformed and must come back empty. */
  readonly readable: Buffer | null;
  /** Where the device may write. */
  readonly writable: readonly { readonly at: number; readonly length: number }[];
}

/**
 * Guest memory of a slot: its buffers (those of the first slot cross from one region into the next) and its indirect
 * table.
 */
const BUFFERS = { base: 0x401f_f000, bytes: 0x8000 } as const;
const TABLES = { base: 0x4010_0000, bytes: 0x1000 } as const;
/** Guest address of an indirect table of the largest allowed length. */
const LONG_TABLE = 0x4030_0000;
const MOST_ENTRIES = 32768;
export const SLOTS = 16;
/** Memory that the memory writer may change at any moment without changing the number of chains. */
export const VOLATILE = [
  { start: TABLES.base, length: SLOTS * TABLES.bytes },
  { start: BUFFERS.base, length: SLOTS * BUFFERS.bytes },
] as const;
/** Addresses outside guest memory. */
const OUTSIDE: readonly (number | bigint)[] = [
  0,
  0x5000_0000,
  0x4040_0000,
  0x1_0010_0000,
  2n ** 64n - 1n,
  2n ** 63n,
];
const SPOILT = 0xa5;

/** Makes a good list of descriptors malformed. `entries`: number of entries of its table. */
type Spoiler = (list: Entry[], random: Random, entries: number) => void;

const lastOf = (list: Entry[]): Entry => list.at(-1)!;
const anyOf = (list: Entry[], random: Random): Entry => random.pick(list);

const spoilers: readonly Spoiler[] = [
  // A loop, over one descriptor or over several.
  (list, random) =>
    Object.assign(lastOf(list), { flags: lastOf(list).flags | NEXT, next: random.pick(list).next }),
  (list, _, entries) => Object.assign(lastOf(list), { flags: lastOf(list).flags | NEXT, next: entries }),
  (list, random) =>
    Object.assign(lastOf(list), { flags: lastOf(list).flags | NEXT, next: random.between(0x8000, 0xffff) }),
  (list, random) =>
    Object.assign(anyOf(list, random), { address: random.pick(OUTSIDE), length: random.between(1, 64) }),
  (list, random) =>
    Object.assign(anyOf(list, random), { length: random.pick([0xffff_ffff, 0x8000_0000, 0x40_0001]) }),
  // A readable descriptor after a writable one.
  (list, random) => {
    Object.assign(list[0]!, { flags: list[0]!.flags | WRITE, length: random.between(1, 64) });
    Object.assign(lastOf(list), { flags: lastOf(list).flags & ~WRITE, length: random.between(1, 64) });
  },
  // An indirect table inside a table, or an indirect descriptor that has a next one.
  (list) => Object.assign(lastOf(list), { flags: lastOf(list).flags | INDIRECT | NEXT }),
];

export class ChainMaker {
  /** Number of descriptors of each slot. */
  readonly #each: number;
  readonly slots: number;

  constructor(
    private readonly random: Random,
    private readonly side: GuestSide,
    private readonly ring: GuestRing,
  ) {
    this.slots = Math.min(SLOTS, ring.size);
    this.#each = ring.size / this.slots;
  }

  /**
   * Writes a chain into the slot. `isAlone`: no other chain waits to be read. Only then the long table may be used,
   * because there is only one.
   */
  make(slot: number, isAlone: boolean): MadeChain {
    const { random } = this;
    const kind = random.weighted([
      [600, () => this.#ordinary(slot)],
      [250, () => this.#spoilt(slot)],
      [50, () => this.#badTable(slot)],
      [30, () => this.#badHead()],
      [isAlone ? 1 : 0, () => this.#long(slot)],
    ] as const);
    return kind();
  }

  #ordinary(slot: number): MadeChain {
    const { entries, readable, writable } = this.#pieces(slot);
    return { head: this.#lay(slot, entries), readable, writable };
  }

  #spoilt(slot: number): MadeChain {
    const { entries } = this.#pieces(slot);
    if (entries.length < 2) entries.push({ ...entries[0]! });
    const head = this.#lay(slot, entries, this.random.pick(spoilers));
    return { head, readable: null, writable: [] };
  }

  #badTable(slot: number): MadeChain {
    const { random } = this;
    const [address, length, flags] = random.pick([
      [TABLES.base, 0, INDIRECT],
      [TABLES.base, random.between(1, 15), INDIRECT],
      [TABLES.base, 16 * random.between(1, 8) + random.between(1, 15), INDIRECT],
      [LONG_TABLE, 16 * (MOST_ENTRIES + 1), INDIRECT],
      [LONG_TABLE, 0xffff_fff0, INDIRECT],
      [random.pick(OUTSIDE), 16, INDIRECT],
      [TABLES.base, 16, INDIRECT | NEXT],
    ] as const);
    const head = slot * this.#each;
    this.ring.describe(head, { address, length, flags, next: head });
    return { head, readable: null, writable: [] };
  }

  #badHead(): MadeChain {
    const head = this.random.pick([this.ring.size, this.random.between(this.ring.size, 0xffff), 0xffff]);
    return { head: Math.max(this.ring.size, head), readable: null, writable: [] };
  }

  /** A chain of 32768 descriptors, each of one byte or of none. */
  #long(slot: number): MadeChain {
    const { ram } = this.side;
    const length = this.random.below(2);
    const at = BUFFERS.base + BUFFERS.bytes * slot;
    const [from, bytes] = [ram.at(LONG_TABLE), 16 * MOST_ENTRIES];
    for (let entry = 0; entry < MOST_ENTRIES; entry++) {
      const last = entry === MOST_ENTRIES - 1;
      descriptor({ address: at, length, flags: last ? 0 : NEXT }, entry + 1).copy(
        ram.bytes,
        from + 16 * entry,
      );
    }
    ram.write(at, Buffer.of(SPOILT));
    const head = slot * this.#each;
    this.ring.describe(head, { address: LONG_TABLE, length: bytes, flags: INDIRECT, next: 0 });
    return { head, readable: Buffer.alloc(length * MOST_ENTRIES, SPOILT), writable: [] };
  }

  /** Up to four readable and up to four writable pieces, some of them empty. */
  #pieces(slot: number): Omit<MadeChain, 'head'> & { entries: Entry[]; readable: Buffer } {
    const { random } = this;
    const base = BUFFERS.base + BUFFERS.bytes * slot;
    const entries: Entry[] = [];
    const readable: Buffer[] = [];
    const writable: { at: number; length: number }[] = [];
    let at = base;
    const piece = (flags: number): number => {
      const length = random.weighted([
        [1, 0],
        [6, random.between(1, 64)],
        [1, random.between(64, 0xf00)],
      ]);
      entries.push({ address: length > 0 ? at : random.pick(OUTSIDE), length, flags, next: 0 });
      return length;
    };
    for (let left = random.below(5); left > 0; left--) {
      const bytes = random.bytes(piece(0));
      this.side.ram.write(at, bytes);
      readable.push(bytes);
      at += bytes.length;
    }
    for (let left = random.between(entries.length > 0 ? 0 : 1, 4); left > 0; left--) {
      const length = piece(WRITE);
      writable.push({ at, length });
      at += length;
    }
    return { entries, readable: join(...readable), writable };
  }

  /** Writes the descriptors into the slot's own if they fit, else into a table. Returns the head. */
  #lay(slot: number, entries: Entry[], spoil?: Spoiler): number {
    const first = slot * this.#each;
    const isDirect = entries.length <= this.#each && this.random.chance(0.5);
    const base = isDirect ? first : 0;
    for (const [at, entry] of entries.entries()) {
      const last = at === entries.length - 1;
      entry.next = base + (last ? 0 : at + 1);
      if (!last) entry.flags |= NEXT;
    }
    spoil?.(entries, this.random, isDirect ? this.ring.size : entries.length);
    if (isDirect) {
      for (const [at, entry] of entries.entries()) this.ring.describe(base + at, entry);
      return first;
    }
    const table = TABLES.base + TABLES.bytes * slot;
    this.side.ram.write(table, join(...entries.map((entry) => descriptor(entry, entry.next))));
    const flags = INDIRECT | (this.random.chance(0.1) ? WRITE : 0);
    this.ring.describe(first, { address: table, length: 16 * entries.length, flags, next: 0 });
    return first;
  }
}
