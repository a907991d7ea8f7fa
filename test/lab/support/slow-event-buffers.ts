/** A guest driver that is slow to give event buffers back to the device: as few as a test wants. */
import type { DriverQueue, UsedChain } from '../../../src/client/driver-queue.js';
import type { Piece } from '../../../src/client/pieces.js';
import type { Vmm } from '../../../src/client/vmm.js';
import { EVENTQ } from '../../../src/media/protocol.js';

interface Waiting {
  /** What the driver was told: it lies below every real one. */
  readonly token: number;
  readonly pieces: readonly Piece[];
}

export class HeldEvents {
  readonly #queue: DriverQueue;
  readonly #add: DriverQueue['add'];
  #waiting: Waiting[] = [];
  /** Tokens that the driver knows by those of the ring. */
  readonly #tokens = new Map<number, number>();
  #limit = Number.POSITIVE_INFINITY;
  #nextToken = -1;

  /** Of a driver that has probed the machine. */
  constructor({ rings }: Vmm) {
    const queue = rings[EVENTQ]!.driver!;
    const poll = queue.poll.bind(queue);
    this.#queue = queue;
    this.#add = queue.add.bind(queue);
    queue.add = (_, pieces) => this.#post(pieces);
    queue.poll = () => poll().map((chain) => this.#renamed(chain));
  }

  /** Buffers that the device has. */
  get atDevice(): number {
    return this.#queue.inFlight;
  }

  /** From now on what comes back is kept; `cause` is called for one event after the other until the device has no buffer left. */
  async takeAll(cause: () => Promise<unknown>): Promise<void> {
    this.#limit = 0;
    while (this.atDevice > 0) await cause();
  }

  /** The device may have this many again. */
  giveBack(limit = Number.POSITIVE_INFINITY): void {
    this.#limit = limit;
    while (this.#waiting.length > 0 && this.atDevice < limit) {
      const { token, pieces } = this.#waiting.shift()!;
      this.#tokens.set(this.#add([], pieces), token);
    }
    this.#queue.kick();
  }

  #post(pieces: readonly Piece[]): number {
    if (this.atDevice < this.#limit) return this.#add([], pieces);
    const token = this.#nextToken--;
    this.#waiting.push({ token, pieces });
    return token;
  }

  #renamed({ token, written }: UsedChain): UsedChain {
    const known = this.#tokens.get(token) ?? token;
    this.#tokens.delete(token);
    return { token: known, written };
  }
}
