/**
 * What the sessions of a node use up: open files, bytes of buffers, linear mappings and SG lists. The account belongs
 * to the node, not to a connection. If hardware hangs, the buffers of a VMM that has left still exist, and they count
 * for the next VMM.
 */
import type { HostNode } from '../v4l2/node.js';
import { LinearMappings } from './memory/guest-pages.js';
import { SgBudget } from './memory/sg-budget.js';

/** A session whose file of the node is open, or is not closed yet. */
export interface Holder {
  /** Bytes of its buffers. An allocation that is under way counts. */
  readonly bufferBytes: number;
  /** Queues with buffers, by buffer type. They stay here if the hardware does not give them back. */
  readonly queues: ReadonlyMap<number, unknown>;
}

/** Milliseconds that OPEN waits for a file that is being closed, because some drivers allow only one open file. */
const CLOSING_GRACE_MS = 1000;

const accounts = new WeakMap<HostNode, Account>();

/** One account a node: `Account.of`. */
export class Account {
  readonly linearMappings = new LinearMappings();
  readonly lists = SgBudget.ofDevice();
  readonly #holders = new Set<Holder>();
  readonly #closing = new Set<Promise<void>>();

  /** The account of a node. It lives as long as the HostNode. */
  static of(node: HostNode): Account {
    const known = accounts.get(node) ?? new Account();
    accounts.set(node, known);
    return known;
  }

  /** How many files are open or not closed yet. */
  get files(): number {
    return this.#holders.size;
  }

  /** Bytes of all buffers of all sessions. */
  get bufferBytes(): number {
    return [...this.#holders].reduce((sum, { bufferBytes }) => sum + bufferBytes, 0);
  }

  /** Whether a session has buffers on the node. If so, the bridge itself may be the cause of an EBUSY. */
  get hasBuffers(): boolean {
    return [...this.#holders].some(({ queues }) => queues.size > 0);
  }

  /** The session counts from now on. */
  opened(holder: Holder): void {
    this.#holders.add(holder);
  }

  /**
   * `closed` resolves when the file is closed, and the session stops to count then. If `closed` rejects, nothing
   * closes the file any more, and it counts for ever. Resolves and rejects as `closed` does. The timer is by hand, because it
   * must not keep the process.
   */
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

  /** Resolves when every file that is being closed is closed, or after CLOSING_GRACE_MS. Never rejects. */
  async settled(): Promise<void> {
    await Promise.all(this.#closing);
  }
}
