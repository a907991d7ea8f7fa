/**
 * What the sessions of a node hold: open files, bytes of buffers, joined pages and lists of pages. It is the node's, not a connection's: what hung
 * hardware still holds of a VMM that has left counts for the next one.
 */
import type { HostNode } from '../v4l2/node.js';
import { LinearMappings } from './memory/guest-pages.js';
import { SgBudget } from './memory/sg-budget.js';

/** Whoever has a file of the node open, or not closed yet: a session. */
export interface Holder {
  /** Bytes of its buffers, those included that are being made. */
  readonly bufferBytes: number;
  /** By type: what REQBUFS or CREATE_BUFS has made, also where the hardware does not give it back. */
  readonly queues: ReadonlyMap<number, unknown>;
}

/** How long OPEN waits for a file that is being closed: a driver may let one program in at a time. */
const CLOSING_GRACE_MS = 1000;

const accounts = new WeakMap<HostNode, Account>();

export class Account {
  readonly linearMappings = new LinearMappings();
  readonly lists = SgBudget.ofDevice();
  readonly #holders = new Set<Holder>();
  readonly #closing = new Set<Promise<void>>();

  /** The one account of a node, for as long as there is the node. */
  static of(node: HostNode): Account {
    const known = accounts.get(node) ?? new Account();
    accounts.set(node, known);
    return known;
  }

  /** Files that are open or not closed yet. */
  get files(): number {
    return this.#holders.size;
  }

  get bufferBytes(): number {
    return [...this.#holders].reduce((sum, { bufferBytes }) => sum + bufferBytes, 0);
  }

  /** Whether one of them has buffers on the node: EBUSY may be of their own making. */
  get hasBuffers(): boolean {
    return [...this.#holders].some(({ queues }) => queues.size > 0);
  }

  opened(holder: Holder): void {
    this.#holders.add(holder);
  }

  /** `closed` resolves when the file is closed. One that rejects leaves a file that nobody closes any more: it counts on. */
  closing(holder: Holder, closed: Promise<void>): Promise<void> {
    const over = closed.then(() => void this.#holders.delete(holder));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSING_GRACE_MS).unref();
    });
    const settled = Promise.race([over.catch(() => undefined), late]).finally(() => {
      clearTimeout(timer);
      this.#closing.delete(settled);
    });
    this.#closing.add(settled);
    return over;
  }

  /** Resolves when what is being closed, of whichever connection, is closed, or has had its time. */
  async settled(): Promise<void> {
    await Promise.all(this.#closing);
  }
}
