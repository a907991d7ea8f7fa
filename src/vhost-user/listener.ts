/** A listening unix socket. Each connection is given to a callback, which owns it. */
import { closeSync, unlinkSync } from 'node:fs';
import { Errno, errnoName } from '../errno.js';
import { log, warnLimited } from '../log.js';
import { type FdPoller, native, type PeerCredentials, PollEvents } from '../native.js';
import { isFailure, type Result, resultOf } from '../result.js';

/** Permissions and owner of a socket file. */
export interface SocketFile {
  /** Permission bits. */
  readonly mode: number;
  /** Owner and group. Default: as the kernel creates the file. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface ListenerOptions {
  /** Default: mode 0600. */
  readonly file?: SocketFile;
  /** For an inherited listening descriptor: the path that is removed at close, if this user may remove it. */
  readonly path?: string;
  /** User ids whose processes may connect. Default: every process that the socket file admits. */
  readonly allowUids?: readonly number[];
}

/** Returns a descriptor that listens at a path. Replaces a stale socket there. Throws if that fails. */
export function listenAt(path: string, file?: SocketFile): number {
  return file ? native.listen(path, file.mode, file.uid, file.gid) : native.listen(path);
}

/** Process id of the peer when it connected (SO_PEERCRED). undefined: the socket does not tell it. */
export function peerProcess(fd: number): number | undefined {
  const peer = credentialsOf(fd);
  return isFailure(peer) ? undefined : peer.pid;
}

const credentialsOf = (fd: number): Result<PeerCredentials> => resultOf(native.peerCredentials(fd));

/** Milliseconds without accept(2) after it failed, for example because the table of descriptors is full. */
const RETRY_MS = 100;

/** Accepts connections on the loop until close(). */
export class Listener {
  readonly #fd: number;
  readonly #poller: FdPoller;
  #closed = false;

  /**
   * @param at a path (a socket is created there, a stale one replaced, and it is removed at close) or an inherited
   * listening descriptor
   * @param onConnection owns the descriptor that it gets. If it throws, the error is logged
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

  /** Accepts one connection per wake. If more wait, the loop wakes again, because the poll is level-triggered. */
  #accept(): void {
    const fd = resultOf(native.accept(this.#fd));
    if (!isFailure(fd)) return this.#hand(fd);
    if (fd.errno === Errno.EAGAIN) return;
    // Most likely no descriptor is free. The connection stays in the backlog and would wake the loop without end, so
    // the poll pauses.
    warnLimited('accept', 'a connection cannot be accepted yet', { error: errnoName(fd.errno) });
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

  /** Whether the peer's user, at the time of the connection (SO_PEERCRED), may connect. */
  #isAllowed(fd: number): boolean {
    const { allowUids } = this.options;
    if (!allowUids) return true;
    const peer = credentialsOf(fd);
    if (!isFailure(peer) && allowUids.includes(peer.uid)) return true;
    const who = isFailure(peer) ? { error: errnoName(peer.errno) } : { uid: peer.uid, pid: peer.pid };
    warnLimited('peer-refused', 'a connection was refused: its user is none of --allow-uid', who);
    return false;
  }
}

/**
 * Never throws and may be called twice. If this user may not write to the folder, the file stays, and the next start
 * replaces it.
 */
export function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    log.debug('the socket file is gone already, or stays', { path, error: String(error) });
  }
}
