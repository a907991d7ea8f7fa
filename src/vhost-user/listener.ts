/** A listening unix socket: hands each connection to its owner. */
import { closeSync, unlinkSync } from 'node:fs';
import { Errno, errnoName } from '../errno.js';
import { log, warnLimited } from '../log.js';
import { type FdPoller, native, PollEvents } from '../native.js';

/** How long a full table of descriptors is left alone. */
const RETRY_MS = 100;

export class Listener {
  readonly #fd: number;
  readonly #poller: FdPoller;
  #closed = false;

  /**
   * @param at a path (created with mode 0600, a stale socket replaced, removed at close) or an inherited listening descriptor
   * @param onConnection owns the descriptor it gets
   */
  constructor(
    private readonly at: string | number,
    private readonly onConnection: (fd: number) => void,
  ) {
    this.#fd = typeof at === 'number' ? at : native.listen(at);
    this.#poller = new native.FdPoller(this.#fd, () => this.#accept());
    this.#poller.watch(PollEvents.READABLE);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.close();
    closeSync(this.#fd);
    if (typeof this.at === 'string') removeSocket(this.at);
  }

  /** One a wake: the poll is level-triggered. */
  #accept(): void {
    const fd = native.accept(this.#fd);
    if (fd >= 0) return this.#hand(fd);
    if (fd === -Errno.EAGAIN) return;
    // Out of descriptors, most likely: the connection stays in the backlog and would wake the loop without end.
    warnLimited('accept', 'a connection cannot be accepted yet', { error: errnoName(-fd) });
    this.#poller.watch(0);
    setTimeout(() => !this.#closed && this.#poller.watch(PollEvents.READABLE), RETRY_MS);
  }

  #hand(fd: number): void {
    try {
      this.onConnection(fd);
    } catch (error) {
      log.error('a connection was dropped', { error: String(error) });
    }
  }
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    log.debug('the socket file was gone already', { path, error: String(error) });
  }
}
