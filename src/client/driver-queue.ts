import { viewOf } from '../struct.js';
import {
  Alignment,
  Available,
  availEventWord,
  Descriptor,
  DescriptorFlags,
  ringBytes,
  USED_F_NO_NOTIFY,
  Used,
  usedEventWord,
} from '../virtio/ring-layout.js';
import type { Heap } from './heap.js';
import { lengthOf, type Piece } from './pieces.js';

/** VIRTIO 1.4, 2.7.8: struct virtq_used_elem. */
const USED_ELEMENTS = 2 * Used.RING;
const USED_ELEMENT_SIZE = 2 * Used.WORDS_PER_ELEMENT;

/** The device broke the ring. The driver must not trust the used ring after that. */
export class RingError extends Error {}

/** Guest-physical addresses of the three parts of a ring. */
export interface RingPlaces {
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

export interface DriverQueueOptions {
  /** Descriptors of the ring: a power of two. */
  readonly size: number;
  /** VIRTIO_F_INDIRECT_DESC: a chain of two or more descriptors uses an indirect table, as in the Linux driver. */
  readonly indirect: boolean;
  /** VIRTIO_F_EVENT_IDX. */
  readonly eventIdx: boolean;
  /** Notifies the device of new chains. Called only if the device has asked for a notification. */
  readonly kick: () => void;
}

/** A chain that the device has returned. The first `written` bytes of its writable part are valid. */
export interface UsedChain {
  readonly token: number;
  readonly written: number;
}

interface Chain {
  readonly token: number;
  readonly descriptors: readonly number[];
  readonly table: number | undefined;
  readonly writable: number;
}

export class DriverQueue {
  readonly places: RingPlaces;
  readonly size: number;
  readonly #heap: Heap;
  readonly #options: DriverQueueOptions;
  readonly #table: DataView;
  readonly #available: Uint16Array;
  readonly #used: Uint16Array;
  readonly #usedElements: DataView;
  readonly #free: number[];
  readonly #chains = new Map<number, Chain>();
  #availableIndex = 0;
  #kickedIndex = 0;
  #usedIndex = 0;
  #nextToken = 1;

  constructor(heap: Heap, options: DriverQueueOptions) {
    const { size, eventIdx } = options;
    this.#heap = heap;
    this.#options = options;
    this.size = size;
    const lengths = {
      descriptors: ringBytes.descriptors(size),
      available: ringBytes.available(size, eventIdx),
      used: ringBytes.used(size, eventIdx),
    };
    this.places = {
      descriptors: heap.allocate(lengths.descriptors, Alignment.DESCRIPTORS),
      available: heap.allocate(lengths.available, Alignment.AVAILABLE),
      used: heap.allocate(lengths.used, Alignment.USED),
    };
    this.#table = viewOf(heap.ram.view(this.places.descriptors, lengths.descriptors));
    this.#available = wordsOf(heap.ram.view(this.places.available, lengths.available));
    const used = heap.ram.view(this.places.used, lengths.used);
    this.#used = wordsOf(used);
    this.#usedElements = viewOf(used);
    this.#free = Array.from({ length: size }, (_, i) => size - 1 - i);
  }

  /** Chains that are available to the device and not returned. */
  get inFlight(): number {
    return this.#chains.size;
  }

  /** Index of the next available entry. A VMM that skips the existing entries sends it in SET_VRING_BASE. */
  get availableIndex(): number {
    return this.#availableIndex;
  }

  /** Makes one chain available, without a kick. Returns its token. RangeError if the ring has no room for it. */
  add(readable: readonly Piece[], writable: readonly Piece[]): number {
    const count = readable.length + writable.length;
    const indirect = this.#options.indirect && count > 1;
    const needed = indirect ? 1 : count;
    if (count === 0) throw new RangeError('a chain needs a descriptor');
    if (needed > this.#free.length)
      throw new RangeError(`the ring has ${this.#free.length} free descriptors, the chain needs ${needed}`);
    const descriptors = this.#free.splice(-needed).reverse();
    const table = indirect ? this.#writeTable(descriptors[0]!, readable, writable) : undefined;
    if (!indirect) this.#writeChain(this.#table, descriptors, readable, writable);
    const token = this.#nextToken++;
    this.#chains.set(descriptors[0]!, { token, descriptors, table, writable: lengthOf(writable) });
    this.#publish(descriptors[0]!);
    return token;
  }

  /** Notifies the device of the chains added since the last call, if it has asked for that (2.7.7, 2.7.10). */
  kick(): void {
    const before = this.#kickedIndex;
    this.#kickedIndex = this.#availableIndex;
    if (this.#options.eventIdx) {
      const event = Atomics.load(this.#used, availEventWord(this.size));
      if (!crosses(event, this.#availableIndex, before)) return;
    } else if (Atomics.load(this.#used, Used.FLAGS) & USED_F_NO_NOTIFY) return;
    this.#options.kick();
  }

  /**
   * Takes every chain that the device has returned, in the device's order, and asks for an interrupt for the next one.
   * Throws RingError if the used ring makes no sense.
   */
  poll(): UsedChain[] {
    const returned: UsedChain[] = [];
    for (;;) {
      if (Atomics.load(this.#used, Used.INDEX) === this.#usedIndex) {
        if (!this.#options.eventIdx) return returned;
        Atomics.store(this.#available, usedEventWord(this.size), this.#usedIndex);
        if (Atomics.load(this.#used, Used.INDEX) === this.#usedIndex) return returned;
      }
      returned.push(this.#take());
    }
  }

  /** Frees the ring's memory. The device must not use it any more. */
  release(): void {
    for (const { table } of this.#chains.values()) if (table !== undefined) this.#heap.release(table);
    this.#chains.clear();
    for (const address of Object.values(this.places)) this.#heap.release(address);
  }

  #take(): UsedChain {
    const at = USED_ELEMENTS + (this.#usedIndex % this.size) * USED_ELEMENT_SIZE;
    const head = this.#usedElements.getUint32(at, true);
    const written = this.#usedElements.getUint32(at + 4, true);
    const chain = this.#chains.get(head);
    if (!chain) throw new RingError(`the device returned descriptor ${head}, which it does not hold`);
    if (written > chain.writable)
      throw new RingError(`the device reports ${written} bytes written to a chain of ${chain.writable}`);
    this.#usedIndex = (this.#usedIndex + 1) & 0xffff;
    this.#chains.delete(head);
    this.#free.push(...chain.descriptors);
    if (chain.table !== undefined) this.#heap.release(chain.table);
    return { token: chain.token, written };
  }

  #writeTable(descriptor: number, readable: readonly Piece[], writable: readonly Piece[]): number {
    const count = readable.length + writable.length;
    const address = this.#heap.allocate(count * Descriptor.SIZE, Alignment.DESCRIPTORS);
    const slots = Array.from({ length: count }, (_, i) => i);
    const bytes = this.#heap.ram.view(address, count * Descriptor.SIZE);
    this.#writeChain(viewOf(bytes), slots, readable, writable);
    writeDescriptor(this.#table, descriptor, { address, length: bytes.length }, DescriptorFlags.INDIRECT, 0);
    return address;
  }

  #writeChain(
    table: DataView,
    slots: readonly number[],
    readable: readonly Piece[],
    writable: readonly Piece[],
  ): void {
    for (const [i, piece] of [...readable, ...writable].entries()) {
      const next = slots[i + 1];
      const flags =
        (next === undefined ? 0 : DescriptorFlags.NEXT) | (i < readable.length ? 0 : DescriptorFlags.WRITE);
      writeDescriptor(table, slots[i]!, piece, flags, next ?? 0);
    }
  }

  #publish(head: number): void {
    this.#available[Available.RING + (this.#availableIndex % this.size)] = head;
    this.#availableIndex = (this.#availableIndex + 1) & 0xffff;
    Atomics.store(this.#available, Available.INDEX, this.#availableIndex);
  }
}

/** 2.7.10: whether the entry with index `event` is one of the entries from `before` up to, but not with, `now`. */
function crosses(event: number, now: number, before: number): boolean {
  return ((now - event - 1) & 0xffff) < ((now - before) & 0xffff);
}

function writeDescriptor(table: DataView, slot: number, piece: Piece, flags: number, next: number): void {
  const at = slot * Descriptor.SIZE;
  table.setBigUint64(at + Descriptor.ADDRESS, BigInt(piece.address), true);
  table.setUint32(at + Descriptor.LENGTH, piece.length, true);
  table.setUint16(at + Descriptor.FLAGS, flags, true);
  table.setUint16(at + Descriptor.NEXT, next, true);
}

function wordsOf(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
}
