/** The loop's side of one split virtqueue. The addon reads and writes the ring itself (addon/split_ring.h). */
import { warnLimited } from '../log.js';
import { native } from '../native.js';
import { type NativeRing, RingFlags } from '../native-ring.js';
import { type Chain, ChainError, MAX_CHAIN_BYTES, MAX_READABLE } from './chain.js';
import { MAX_INDIRECT, type Useful, Walk } from './chain-walk.js';
import type { GuestMemory } from './guest-memory.js';
import { ParkedChains } from './parked-chains.js';
import { Alignment, isQueueSize, ringBytes } from './ring-layout.js';
import { type Doorbells, RingThreads } from './ring-threads.js';
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
  /** Absent: the queue can have no threads. */
  readonly doorbells?: Doorbells;
}

/** The queue cannot use a ring because of its size, its place or its alignment. */
export class RingError extends Error {
  readonly code = 'ERR_RING';
}

export class Queue {
  readonly size: number;
  /** null: only the loop takes chains. */
  readonly threads: RingThreads | null;
  readonly #options: QueueOptions;
  readonly #ring: NativeRing;
  readonly #outstanding = new Set<Chain>();
  readonly #parked = new ParkedChains();
  /** The walk along the next chain. The chain is popped when its walk is complete. */
  #walk: Walk | null = null;
  #stopped = false;

  /** Throws RingError. */
  constructor(options: QueueOptions) {
    const { memory, size, eventIdx, indirect, base, lost = 0 } = options;
    if (!isQueueSize(size)) throw new RingError(`a queue of ${size}`);
    this.#options = options;
    this.size = size;
    const flags = (eventIdx ? RingFlags.EVENT_IDX : 0) | (indirect ? RingFlags.INDIRECT : 0);
    this.#ring = new native.Ring(memory.native, size, flags, MAX_READABLE, MAX_INDIRECT, MAX_CHAIN_BYTES);
    this.rebind(options.rings);
    this.#ring.start(base, lost);
    this.threads = options.doorbells ? new RingThreads(this.#ring, options.doorbells) : null;
    if (options.doorbells) this.setCall(options.doorbells.call);
  }

  /** The memory table has changed: the rings are mapped elsewhere, with the same content. Throws RingError. */
  rebind({ descriptors, available, used }: Rings): void {
    const { size, eventIdx } = this.#options;
    const parts = [
      part('descriptor table', descriptors, ringBytes.descriptors(size), Alignment.DESCRIPTORS),
      part('available ring', available, ringBytes.available(size, eventIdx), Alignment.AVAILABLE),
      part('used ring', used, ringBytes.used(size, eventIdx), Alignment.USED),
    ] as const;
    this.#walk = null;
    this.#ring.bind(...parts);
  }

  /** Index of the next chain to pop. GET_VRING_BASE answers it. */
  get nextAvailable(): number {
    return this.#ring.nextAvailable();
  }

  /** Chains popped since the start, malformed ones included. */
  get popped(): number {
    return this.#ring.popped();
  }

  /** Chains pushed since the start, malformed ones included. */
  get pushed(): number {
    return this.#ring.pushed();
  }

  /** Chains popped and not yet pushed. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  /** Chains that the driver has made available since the start: popped ones and waiting ones. */
  get madeAvailable(): number {
    return this.popped + this.waiting;
  }

  /** Chains that are available and not yet popped. */
  get waiting(): number {
    const waiting = this.#ring.waiting();
    if (waiting === 0) this.#look();
    return waiting;
  }

  /**
   * Pops the next chain and charges the work to `turn`. `useful` says how many readable bytes are copied. Malformed
   * chains go back to the driver with length 0. null: no chain waits, or the turn is used up and the rest (`waiting`)
   * is for a later turn.
   */
  pop(turn = new Turn(), useful?: Useful): Chain | null {
    const before = this.pushed;
    let chain: Chain | null = null;
    // The driver made more malformed chains than the ring has places, and nothing else: the ring is broken.
    while (!chain && !turn.over && this.waiting > 0) {
      if (this.pushed - before > this.size) this.#break('malformed chains without end');
      else chain = this.#take(turn, useful);
    }
    if (this.pushed !== before) this.notify();
    return chain;
  }

  /** Gives a chain back. `written`: bytes written from the start of its writable part. Call notify() afterwards. */
  push(chain: Chain, written: number): void {
    if (!this.#outstanding.delete(chain)) return;
    this.#parked.remove(chain);
    this.#ring.push(chain.id, written);
  }

  /** The chain never goes back: the driver no longer waits for it, and its memory must not be touched. */
  abandon(chain: Chain): void {
    if (!this.#outstanding.delete(chain)) return;
    this.#parked.remove(chain);
    this.#ring.abandon(chain.id);
  }

  /** Number of abandoned chains. The used idx stays behind by this number. */
  get lost(): number {
    return this.#ring.lost();
  }

  /** Notifies the driver of all chains pushed since the last call, if it wants that. Call it once per batch. */
  notify(): void {
    if (this.#ring.takeNotification()) this.#options.notify();
  }

  /**
   * Asks the driver to kick when it makes the next chain available. Returns true if chains became available since the
   * last call: there may be no kick for them, so look again and then call again. Chains may be left waiting.
   */
  enableKicks(): boolean {
    const isMore = this.#ring.enableKicks();
    if (!isMore) this.#look();
    return isMore;
  }

  /** Asks the driver not to kick. It may kick all the same. */
  disableKicks(): void {
    this.#ring.disableKicks();
  }

  /** The eventfd by which threads call the driver. -1: none. */
  setCall(fd: number): void {
    this.#ring.setCall(fd);
  }

  /** The ring, for what threads do with it. null: they cannot call the driver. */
  get shared(): NativeRing | null {
    return this.threads && !this.#stopped ? this.#ring : null;
  }

  /** Chains that nobody has been promised: neither by the loop (`claim`) nor to threads. */
  get free(): number {
    const free = this.#ring.free();
    if (free <= 0) this.#look();
    return free;
  }

  /** Promises one chain. False: none is free. */
  claimOne(): boolean {
    const isFree = this.#ring.claim();
    if (!isFree) this.#look();
    return isFree;
  }

  /** How many chains the loop has promised. `isBlocked`: events wait, so no thread may send one before. */
  claim(count: number, isBlocked: boolean): void {
    this.#ring.setClaimed(count, isBlocked);
  }

  /** The most chains that the device ever had at the same time, not yet pushed. */
  get pool(): number {
    return this.#ring.pool();
  }

  /** The queue never touches the ring again: pop returns null, push and notify do nothing. */
  stop(): void {
    this.#stopped = true;
    this.#outstanding.clear();
    this.#walk = null;
    this.#parked.clear();
    this.#ring.stop();
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  /** Walks along the next available chain. null: the turn is used up, or the malformed chain went back. */
  #take(turn: Turn, useful?: Useful): Chain | null {
    const begun = this.#walk?.isOver === false ? this.#walk : null;
    if (!begun) turn.spend(Price.CHAIN);
    const walk = begun ?? new Walk(this.#ring);
    this.#walk = null;
    try {
      const chain = walk.advance(turn, useful, (readable, pieces) => this.#parked.check(readable, pieces));
      if (!chain) {
        this.#walk = walk;
        return null;
      }
      this.#parked.add(chain);
      this.#outstanding.add(chain);
      return chain;
    } catch (error) {
      if (!(error instanceof ChainError)) throw error;
      warnLimited('virtio.chain', 'the guest made a malformed descriptor chain', { why: error.message });
      this.#ring.refuse();
      return null;
    }
  }

  /** Stops the queue if the driver has broken the ring. */
  #look(): void {
    if (!this.#stopped && this.#ring.isBroken()) this.#break(this.#ring.why());
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
