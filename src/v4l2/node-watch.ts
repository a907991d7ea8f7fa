/**
 * What a node is now, for the guest's driver that asks next. A driver asks at its probe and keeps the answer. So the
 * node is read anew for each probe, and not from time to time.
 */
import pTimeout from 'p-timeout';
import { log } from '../log.js';
import { isFailure } from '../result.js';
import type { NodeDescription } from './description.js';
import { waitsForProducer } from './kind.js';
import type { HostNode } from './node.js';

/** The most milliseconds that somebody who asks waits for a look. Then the node hangs, and what it was counts. */
const LOOK_LIMIT_MS = 50;
/** Milliseconds between two looks for a producer. */
const PRODUCER_INTERVAL_MS = 250;

/** A look at the node that has not ended. */
interface Look {
  /** Resolves when it ends, or when it hangs. Never rejects. */
  readonly over: Promise<void>;
  /** Whether it has taken LOOK_LIMIT_MS. */
  hangs: boolean;
}

export class NodeWatch {
  #description: NodeDescription;
  #look: Look | null = null;
  #isOver = false;

  /** `waits`: a guest is never told that the node waits for a producer: it is told what the node was with one. */
  constructor(
    private readonly node: HostNode,
    description: NodeDescription,
    private readonly waits: boolean,
  ) {
    this.#description = description;
  }

  /** What the node was when it was looked at last. */
  get description(): NodeDescription {
    return this.#description;
  }

  /** Whether the node is an output only until a producer comes. */
  get waitsForProducer(): boolean {
    return this.#isWaiting(this.#description);
  }

  /** Looks at the node. Resolves when `description` is fresh. null: the node hangs. */
  refresh(): Promise<void> | null {
    if (this.#isOver) return null;
    return this.#look ? this.pending : this.#begin().over;
  }

  /** The look that is under way. null: there is none, or it takes longer than anybody waits. */
  get pending(): Promise<void> | null {
    return this.#look && !this.#look.hangs ? this.#look.over : null;
  }

  /** Resolves when the node has a producer; to false if close() was called before. */
  async producer(): Promise<boolean> {
    if (this.waitsForProducer) log.info('the node waits for a producer', { device: this.node.path });
    while (this.waitsForProducer && !this.#isOver) {
      await new Promise((resolve) => setTimeout(resolve, PRODUCER_INTERVAL_MS));
      await this.refresh();
    }
    return !this.#isOver;
  }

  /** Ends producer(). Nobody looks any more. Resolves when no look has the node open, or when it hangs. */
  async close(): Promise<void> {
    this.#isOver = true;
    await this.pending;
  }

  #begin(): Look {
    const read = this.#read().finally(() => {
      this.#look = null;
    });
    const fallback = (): void => {
      look.hangs = true;
    };
    const look: Look = { over: pTimeout(read, { milliseconds: LOOK_LIMIT_MS, fallback }), hangs: false };
    this.#look = look;
    return look;
  }

  /** A device that stays where it is stays what it is: only a virtual node changes. So no camera is woken up for it. */
  async #read(): Promise<void> {
    const { location } = this.node;
    await location?.follow().catch(() => undefined);
    if (location?.isCurrent() && !location.isVirtual) return;
    const found = await this.node.look();
    if (isFailure(found)) return;
    if (!this.waits || this.waitsForProducer || !this.#isWaiting(found)) this.#description = found;
  }

  #isWaiting({ deviceCaps }: NodeDescription): boolean {
    return waitsForProducer('video', deviceCaps, this.node.location?.isVirtual ?? false);
  }
}
