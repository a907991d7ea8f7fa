/** A guest driver that keeps event buffers back, so that the device has as few as a test needs. */
import type { DriverQueue, UsedChain } from '../../../src/client/driver-queue.js';
import type { Piece } from '../../../src/client/pieces.js';
import type { Vmm } from '../../../src/client/vmm.js';
import { EVENTQ } from '../../../src/media/protocol.js';

interface Waiting {
  /** The number that the driver gets instead of a token. It is negative; real tokens are not. */
  readonly token: number;
  readonly pieces: readonly Piece[];
}

export class SlowEventBuffers {
  readonly #queue: DriverQueue;
  readonly #add: DriverQueue['add'];
  #waiting: Waiting[] = [];
  /** The driver's tokens by the tokens of the ring. */
  readonly #tokens = new Map<number, number>();
  #limit = Number.POSITIVE_INFINITY;
  #nextToken = -1;

  /** Call this when the driver has probed the machine. */
  constructor({ rings }: Vmm) {
    const queue = rings[EVENTQ]!.driver!;
    const poll = queue.poll.bind(queue);
    this.#queue = queue;
    this.#add = queue.add.bind(queue);
    queue.add = (_, pieces) => this.#post(pieces);
    queue.poll = () => poll().map((chain) => this.#renamed(chain));
  }

  /** Number of event buffers that the device has. */
  get atDevice(): number {
    return this.#queue.inFlight;
  }

  /**
   * From now on buffers that come back are kept. Calls `cause` for one event after the other until the device has no
   * buffer left.
   */
  async takeAll(cause: () => Promise<unknown>): Promise<void> {
    this.#limit = 0;
    while (this.atDevice > 0) await cause();
  }

  /** From now on the device may have up to `limit` buffers; gives back as many. */
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
