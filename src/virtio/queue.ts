/** The device's side of one split virtqueue. Single-threaded; the driver works on the same memory at the same time. */
import { warnLimited } from '../log.js';
import { type Chain, ChainError } from './chain.js';
import { type Useful, Walk } from './chain-walk.js';
import type { GuestMemory } from './guest-memory.js';
import { ParkedChains } from './parked-chains.js';
import {
  Alignment,
  AVAIL_F_NO_INTERRUPT,
  Available,
  availEventWord,
  isQueueSize,
  ringBytes,
  Used,
  usedEventWord,
} from './ring-layout.js';
import { Price, Turn } from './turn.js';

/** The three parts of a ring as views of guest memory, each at least `ringBytes` long. */
export interface Rings {
  readonly descriptors: Uint8Array;
  readonly available: Uint8Array;
  readonly used: Uint8Array;
}

export interface QueueOptions {
  readonly memory: GuestMemory;
  /** A power of two, at most MAX_QUEUE_SIZE. */
  readonly size: number;
  readonly rings: Rings;
  /** Next index of the available ring, as the front-end sent it. */
  readonly base: number;
  /** Number of chains of this ring that were abandoned before its last stop. */
  readonly lost?: number;
  /** VIRTIO_F_EVENT_IDX was negotiated. */
  readonly eventIdx: boolean;
  /** VIRTIO_F_INDIRECT_DESC was negotiated. */
  readonly indirect: boolean;
  /** Sends a used buffer notification. */
  readonly notify: () => void;
  /** The driver broke the ring; the queue has stopped. Called at most once, from any method that reads the ring. */
  readonly onBroken: (why: string) => void;
}

/** The queue cannot use a ring because of its size, its place or its alignment. */
export class RingError extends Error {
  readonly code = 'ERR_RING';
}

const u16 = (value: number) => value & 0xffff;

export class Queue {
  readonly size: number;
  readonly #options: QueueOptions;
  readonly #outstanding = new Set<Chain>();
  #descriptors!: DataView;
  #available!: Uint16Array;
  #used!: Uint16Array;
  /** Word 0: flags and idx. Then id and len of each element. */
  #elements!: Uint32Array;
  #nextAvailable: number;
  #usedIndex: number;
  readonly #parked = new ParkedChains();
  /** The walk along the next chain. The chain is popped when its walk is complete. */
  #walk: Walk | null = null;
  #popped = 0;
  #pushed = 0;
  #lost = 0;
  /** Value of `pushed` at the last notify(). */
  #announced = 0;
  /** Value of `madeAvailable` at the last enableKicks(). */
  #seen = 0;
  #stopped = false;

  /** Throws RingError. */
  constructor(options: QueueOptions) {
    if (!isQueueSize(options.size)) throw new RingError(`a queue of ${options.size}`);
    this.#options = options;
    this.size = options.size;
    this.rebind(options.rings);
    this.#usedIndex = Atomics.load(this.#used, Used.INDEX);
    // cloud-hypervisor sends the driver's index as base: chains that were made available before the start would be
    // skipped. All popped chains, except abandoned ones, are pushed before the ring reports its base. So if `base` is
    // ahead of used idx plus abandoned chains, this sum is used instead.
    this.#lost = options.lost ?? 0;
    const next = u16(this.#usedIndex + this.#lost);
    const skipped = u16(options.base - next);
    this.#nextAvailable = skipped >= 1 && skipped <= this.size ? next : u16(options.base);
  }

  /** The memory table has changed: the rings are mapped elsewhere, with the same content. Throws RingError. */
  rebind({ descriptors, available, used }: Rings): void {
    const { size, eventIdx } = this.#options;
    const usedBytes = ringBytes.used(size, eventIdx);
    const length = ringBytes.descriptors(size);
    const table = part('descriptor table', descriptors, length, Alignment.DESCRIPTORS);
    const avail = part('available ring', available, ringBytes.available(size, eventIdx), Alignment.AVAILABLE);
    const target = part('used ring', used, usedBytes, Alignment.USED);
    this.#descriptors = new DataView(table.buffer, table.byteOffset, table.byteLength);
    this.#walk = null;
    this.#available = new Uint16Array(avail.buffer, avail.byteOffset, avail.length / 2);
    this.#used = new Uint16Array(target.buffer, target.byteOffset, target.length / 2);
    this.#elements = new Uint32Array(target.buffer, target.byteOffset, 1 + 2 * size);
  }

  /** Index of the next chain to pop. GET_VRING_BASE answers it. */
  get nextAvailable(): number {
    return this.#nextAvailable;
  }

  /** Chains popped since the start, malformed ones included. */
  get popped(): number {
    return this.#popped;
  }

  /** Chains pushed since the start, malformed ones included. */
  get pushed(): number {
    return this.#pushed;
  }

  /** Chains popped and not yet pushed. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  /** Chains that the driver has made available since the start: popped ones and waiting ones. */
  get madeAvailable(): number {
    return this.#popped + this.waiting;
  }

  /** Chains that are available and not yet popped. */
  get waiting(): number {
    if (this.#stopped) return 0;
    const waiting = u16(Atomics.load(this.#available, Available.INDEX) - this.#nextAvailable);
    // Available and outstanding chains need a descriptor each, and the ring has `size` descriptors.
    if (waiting + this.#outstanding.size <= this.size) return waiting;
    this.#break(`available index ${u16(this.#nextAvailable + waiting)}, expected ${this.#nextAvailable}`);
    return 0;
  }

  /**
   * Pops the next chain and charges the work to `turn`. `useful` says how many readable bytes are copied. Malformed
   * chains go back to the driver with length 0. null: no chain waits, or the turn is used up and the rest (`waiting`)
   * is for a later turn.
   */
  pop(turn = new Turn(), useful?: Useful): Chain | null {
    const before = this.#pushed;
    let chain: Chain | null = null;
    // The driver made more malformed chains than the ring has places, and nothing else: the ring is broken.
    while (!chain && !turn.over && this.waiting > 0) {
      if (this.#pushed - before > this.size) this.#break('malformed chains without end');
      else chain = this.#take(turn, useful);
    }
    if (this.#pushed !== before) this.notify();
    return chain;
  }

  /** Gives a chain back. `written`: bytes written from the start of its writable part. Call notify() afterwards. */
  push(chain: Chain, written: number): void {
    if (!this.#outstanding.delete(chain)) return;
    this.#parked.remove(chain);
    this.#give(chain.head, written);
  }

  /** The chain never goes back: the driver no longer waits for it, and its memory must not be touched. */
  abandon(chain: Chain): void {
    if (!this.#outstanding.delete(chain)) return;
    this.#parked.remove(chain);
    this.#lost++;
  }

  /** Number of abandoned chains. The used idx stays behind by this number. */
  get lost(): number {
    return this.#lost;
  }

  /** Notifies the driver of all chains pushed since the last call, if it wants that. Call it once per batch. */
  notify(): void {
    if (this.#stopped || this.#pushed === this.#announced) return;
    const wanted = this.#wantsNotification(this.#pushed - this.#announced);
    this.#announced = this.#pushed;
    if (wanted) this.#options.notify();
  }

  /**
   * Asks the driver to kick when it makes the next chain available. Returns true if chains became available since the
   * last call: there may be no kick for them, so look again and then call again. Chains may be left waiting.
   */
  enableKicks(): boolean {
    if (this.#stopped) return false;
    const next = Atomics.load(this.#available, Available.INDEX);
    // The store and the load after it are sequentially consistent. This is the fence of VIRTIO 1.4, 2.7.10.
    if (this.#options.eventIdx) Atomics.store(this.#used, availEventWord(this.size), next);
    else Atomics.store(this.#used, Used.FLAGS, 0);
    const seen = this.#seen;
    this.#seen = this.madeAvailable;
    return this.#seen !== seen && !this.#stopped;
  }

  /** The queue never touches the ring again: pop returns null, push and notify do nothing. */
  stop(): void {
    this.#stopped = true;
    this.#outstanding.clear();
    this.#walk = null;
    this.#parked.clear();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Walks along the next available chain. null: the turn is used up, or the malformed chain went back. */
  #take(turn: Turn, useful?: Useful): Chain | null {
    const walk = this.#walk ?? this.#begin(turn);
    this.#walk = null;
    try {
      const chain = walk.advance(turn, useful);
      if (!chain) {
        this.#walk = walk;
        return null;
      }
      this.#parked.add(chain);
      this.#popped++;
      this.#nextAvailable = u16(this.#nextAvailable + 1);
      this.#outstanding.add(chain);
      return chain;
    } catch (error) {
      if (!(error instanceof ChainError)) throw error;
      warnLimited('virtio.chain', 'the guest made a malformed descriptor chain', { why: error.message });
      this.#popped++;
      this.#nextAvailable = u16(this.#nextAvailable + 1);
      this.#give(walk.head, 0);
      return null;
    }
  }

  #begin(turn: Turn): Walk {
    const { memory, indirect } = this.#options;
    turn.spend(Price.CHAIN);
    const head = this.#available[Available.RING + (this.#nextAvailable & (this.size - 1))]!;
    return new Walk(memory, this.#descriptors, head, indirect);
  }

  /** VIRTIO 1.4, 2.7.8: first the element, then the index that makes it visible. */
  #give(head: number, written: number): void {
    const at = 1 + 2 * (this.#usedIndex & (this.size - 1));
    this.#elements[at] = head;
    this.#elements[at + 1] = written;
    this.#usedIndex = u16(this.#usedIndex + 1);
    Atomics.store(this.#used, Used.INDEX, this.#usedIndex);
    this.#pushed++;
  }

  /** VIRTIO 1.4, 2.7.7.2. The loads come after the store of the used idx; all are sequentially consistent. */
  #wantsNotification(pushed: number): boolean {
    if (!this.#options.eventIdx)
      return (Atomics.load(this.#available, Available.FLAGS) & AVAIL_F_NO_INTERRUPT) === 0;
    if (pushed > 0xffff) return true;
    const usedEvent = Atomics.load(this.#available, usedEventWord(this.size));
    return u16(this.#usedIndex - usedEvent - 1) < pushed;
  }

  #break(why: string): void {
    this.stop();
    this.#options.onBroken(why);
  }
}

/** A view of exactly `length` bytes, aligned as VIRTIO 1.4, 2.7 demands. Throws RingError. */
function part(name: string, view: Uint8Array, length: number, alignment: number): Uint8Array {
  if (view.length < length) throw new RingError(`${name} of ${view.length} bytes, needs ${length}`);
  if (view.byteOffset % alignment !== 0) throw new RingError(`${name} is not aligned to ${alignment} bytes`);
  return view.subarray(0, length);
}
