/** A listening unix socket: hands each connection to its owner. */
import { closeSync, unlinkSync } from 'node:fs';
import { log } from '../log.js';
import { type FdPoller, native, PollEvents } from '../native.js';

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
    if (fd >= 0) this.onConnection(fd);
  }
}

function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    log.debug('the socket file was gone already', { path, error: String(error) });
  }
}
