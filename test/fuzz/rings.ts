/**
 * Rings and chains: a well-formed chain arrives whole, a malformed one comes back empty, each once, whatever else the
 * driver does.
 */
import type { Chain } from '../../src/virtio/chain.js';
import { anotherDescriptor } from '../unit/virtio/driver.js';
import { ChainMaker, type MadeChain, VOLATILE } from './chains.js';
import type { Fuzzer, Run } from './fuzzer.js';
import { GuestRing, GuestSide } from './guest-ring.js';
import { MemoryWriter } from './memory-writer.js';
import type { Random } from './random.js';

const RING = 0x4000_0000;
/** Turns of pop() that the malformed chains of one step may take. */
const MOST_TURNS = 1000;

export const rings: Fuzzer = {
  name: 'rings',
  share: 30,
  begin: (random) => RingRun.begin(random),
};

type Operation = (run: RingRun) => void | Promise<void>;

const operations: readonly (readonly [weight: number, operation: Operation])[] = [
  [1000, (run) => run.offer()],
  [40, (run) => run.disturb()],
  [20, (run) => run.moveMemory()],
  [10, (run) => run.pause()],
  [5, (run) => run.jump()],
];

interface Waiting {
  readonly slot: number;
  readonly made: MadeChain;
}

interface Held {
  readonly slot: number;
  readonly chain: Chain;
}

class RingRun implements Run {
  readonly #side = new GuestSide();
  readonly #ring: GuestRing;
  readonly #maker: ChainMaker;
  readonly #free: number[] = [];
  /** Chains that were made available and not popped, and chains that were popped and not pushed, by slot. */
  readonly #waiting: Waiting[] = [];
  readonly #held: Held[] = [];
  #memoryWriter: MemoryWriter | null = null;

  private constructor(private readonly random: Random) {
    const size = 2 ** random.pick([0, 1, 3, 4, 8, 10]);
    this.#ring = new GuestRing(this.#side, size, RING, random.chance(0.5));
    this.#maker = new ChainMaker(random, this.#side, this.#ring);
    this.#begin();
  }

  static async begin(random: Random): Promise<RingRun> {
    const run = new RingRun(random);
    if (random.chance(0.1)) await run.#startMemoryWriter();
    return run;
  }

  async step(): Promise<void> {
    await this.random.weighted(operations)(this);
    this.#take();
    while (this.#held.length > 0 && (this.#free.length === 0 || this.random.chance(0.4))) this.#giveBack();
    this.#ring.queue.notify();
    this.#ring.poll();
  }

  async end(): Promise<void> {
    this.#take();
    while (this.#held.length > 0) this.#giveBack();
    this.#ring.poll();
    if (this.#ring.outstanding > 0) throw new Error(`${this.#ring.outstanding} chains never came back`);
    await this.#memoryWriter?.stop();
    this.#ring.close();
    this.#side.close();
  }

  /** Makes some chains available at once. */
  offer(): void {
    for (let left = this.random.between(1, 3); left > 0 && this.#free.length > 0; left--) {
      const slot = this.#free.shift()!;
      const made = this.#maker.make(slot, this.#waiting.length === 0);
      this.#waiting.push({ slot, made });
      const { writable } = made;
      const answered = (bytes: Buffer): void => {
        if (made.readable === null && bytes.length > 0) throw new Error('a malformed chain was written to');
      };
      this.#ring.offer({ head: made.head, writable: this.#memoryWriter ? null : writable, answered });
    }
  }

  /** What the driver may write at any time: flags, its event index, random bytes in entries that are not available. */
  disturb(): void {
    this.#ring.disturb(this.random);
  }

  /** Replaces the memory table by the same one, or by one without the last region for a while. */
  moveMemory(): void {
    const { memory, ram } = this.#side;
    const source = (each: (typeof ram.regions)[number]) => ({
      region: { guestAddress: each.guest, size: each.length, userAddress: each.user, fileOffset: each.file },
      fd: anotherDescriptor(ram.fd),
    });
    memory.replace(ram.regions.slice(0, this.random.between(2, 3)).map(source));
    this.#ring.queue.rebind(this.#ring.views);
  }

  /** The front-end stops the ring when every chain is back, and starts it at the same index. */
  pause(): void {
    this.#take();
    while (this.#held.length > 0) this.#giveBack();
    this.#ring.queue.stop();
    this.#ring.start();
  }

  /** Writes an impossible index. The ring must stop itself at once and for good; then the driver sets it up again. */
  jump(): void {
    this.#take();
    const { size, queue } = this.#ring;
    this.#ring.publish(queue.nextAvailable + size - queue.outstanding + this.random.between(1, 0x7000));
    if (queue.pop() !== null || this.#ring.broken === null || queue.waiting !== 0)
      throw new Error('a ring with an impossible index goes on');
    for (const { chain } of this.#held) queue.push(chain, 0);
    this.#begin();
  }

  #begin(): void {
    this.#waiting.length = 0;
    this.#held.length = 0;
    this.#free.splice(0, Infinity, ...Array.from({ length: this.#maker.slots }, (_, slot) => slot));
    this.#ring.reset(this.random.pick([0, 1, 0xfff0, 0xffff]));
    this.#ring.start();
  }

  async #startMemoryWriter(): Promise<void> {
    const { ram } = this.#side;
    const table = { start: this.#ring.table, length: 16 * this.#ring.size };
    const places = [...VOLATILE, table].map(({ start, length }) => ({ start: ram.at(start), length }));
    this.#memoryWriter = await MemoryWriter.start(ram.fd, ram.bytes.length, places, this.random.u32());
  }

  /** Pops all chains that wait, and compares them with what was made available. */
  #take(): void {
    const { queue } = this.#ring;
    for (let turns = 0; queue.waiting > 0; turns++) {
      if (turns > MOST_TURNS) throw new Error('the ring is never empty');
      const chain = queue.pop();
      if (chain) this.#arrived(chain);
    }
    if (this.#ring.broken !== null) throw new Error(`the ring broke: ${this.#ring.broken}`);
    // The chains that were not popped are malformed.
    for (const { slot, made } of this.#waiting.splice(0)) {
      if (made.readable !== null && !this.#memoryWriter)
        throw new Error(`chain ${made.head} was taken for malformed`);
      this.#free.push(slot);
    }
  }

  #arrived(chain: Chain): void {
    const at = this.#waiting.findIndex(({ made }) => made.head === chain.head);
    if (at < 0) throw new Error(`chain ${chain.head} was not offered`);
    const [{ slot, made }] = this.#waiting.splice(at, 1) as [Waiting];
    this.#held.push({ slot, chain });
    if (this.#memoryWriter) return;
    const room = made.writable.reduce((sum, { length }) => sum + length, 0);
    if (made.readable === null) throw new Error(`chain ${chain.head} is malformed and was popped`);
    if (!chain.readable.equals(made.readable)) throw new Error(`chain ${chain.head} was read wrongly`);
    if (chain.writableLength !== room)
      throw new Error(`chain ${chain.head}: ${chain.writableLength} of ${room} bytes`);
  }

  /** Pushes one popped chain, in any order. */
  #giveBack(): void {
    const [{ slot, chain }] = this.#held.splice(this.random.below(this.#held.length), 1) as [Held];
    const length = this.random.below(Math.min(chain.writableLength, 5000) + 2);
    this.#ring.queue.push(
      chain,
      chain.reply([this.random.bytes(length >> 1), this.random.bytes(length - (length >> 1))]),
    );
    this.#free.push(slot);
  }
}
