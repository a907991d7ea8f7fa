/** A listening unix socket: hands each connection to its owner. */
import { closeSync, unlinkSync } from 'node:fs';
import { Errno, errnoName } from '../errno.js';
import { log, warnLimited } from '../log.js';
import { type FdPoller, native, PollEvents } from '../native.js';

/** What a socket file shall be. */
export interface SocketFile {
  /** Permission bits. */
  readonly mode: number;
  /** Owner and group; as it is made unless told. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface ListenerOptions {
  /** 0600 unless told. */
  readonly file?: SocketFile;
  /** Of a listening descriptor: the path that is removed at close, if this user may. */
  readonly path?: string;
  /** Users whose processes may connect; everybody who can unless told. */
  readonly allowUids?: readonly number[];
}

/** A listening descriptor at a path; a stale socket there is replaced. Throws. */
export function listenAt(path: string, file?: SocketFile): number {
  return file ? native.listen(path, file.mode, file.uid, file.gid) : native.listen(path);
}

/** SO_PEERCRED: the process at the other end when it connected; undefined where the socket does not say. */
export function peerProcess(fd: number): number | undefined {
  const peer = native.peerCredentials(fd);
  return typeof peer === 'number' ? undefined : peer.pid;
}

/** How long a full table of descriptors is left alone. */
const RETRY_MS = 100;

export class Listener {
  readonly #fd: number;
  readonly #poller: FdPoller;
  #closed = false;

  /**
   * @param at a path (created, a stale socket replaced, removed at close) or an inherited listening descriptor
   * @param onConnection owns the descriptor it gets
   */
  constructor(
    private readonly at: string | number,
    private readonly onConnection: (fd: number) => void,
    private readonly options: ListenerOptions = {},
  ) {
    this.#fd = typeof at === 'number' ? at : listenAt(at, options.file);
    this.#poller = new native.FdPoller(this.#fd, () => this.#accept());
    this.#poller.watch(PollEvents.READABLE);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.close();
    closeSync(this.#fd);
    const path = typeof this.at === 'string' ? this.at : this.options.path;
    if (path !== undefined) removeSocket(path);
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
    if (!this.#isAllowed(fd)) return closeSync(fd);
    try {
      this.onConnection(fd);
    } catch (error) {
      log.error('a connection was dropped', { error: String(error) });
    }
  }

  /** SO_PEERCRED: who the peer was when it connected. */
  #isAllowed(fd: number): boolean {
    const { allowUids } = this.options;
    if (!allowUids) return true;
    const peer = native.peerCredentials(fd);
    if (typeof peer !== 'number' && allowUids.includes(peer.uid)) return true;
    const who = typeof peer === 'number' ? { error: errnoName(-peer) } : { uid: peer.uid, pid: peer.pid };
    warnLimited('peer-refused', 'a connection was refused: its user is none of --allow-uid', who);
    return false;
  }
}

/** Twice is harmless. Where this user may not write to the folder the file stays, and the next start replaces it. */
export function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    log.debug('the socket file is gone already, or stays', { path, error: String(error) });
  }
}
