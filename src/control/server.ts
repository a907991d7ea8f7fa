/** The control socket of a daemon. What a client does never delays a guest: it gets one command in PACE_MS, of all clients. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { socketError } from '../sockets.js';
import { Listener, type SocketFile } from '../vhost-user/listener.js';
import { ClientConnection, type ControlTimes } from './client-connection.js';
import type { ControlCommands } from './commands.js';
import { type ControlAnswer, IDLE_MS, LINE_MS, MAX_CLIENTS, PACE_MS, READ_MS } from './protocol.js';

const times: ControlTimes = { line: LINE_MS, idle: IDLE_MS, read: READ_MS, pace: PACE_MS };
const OWNER_ONLY = 0o600;

export class ControlServer {
  readonly #listener: Listener;
  readonly #clients = new Set<ClientConnection>();
  /** When the next command may run: performance.now(). */
  #free = 0;

  /** Listens at `path`, with mode 0600. `owner`: of the socket; absent: this process's user. Throws StartError. */
  constructor(
    path: string,
    private readonly commands: ControlCommands,
    private readonly limits: ControlTimes = times,
    owner: Pick<SocketFile, 'uid' | 'gid'> = {},
  ) {
    try {
      this.#listener = new Listener(path, (fd) => this.#connected(fd), {
        file: { ...owner, mode: OWNER_ONLY },
      });
    } catch (error) {
      throw socketError(path, error as NodeJS.ErrnoException);
    }
  }

  /** Closes the socket and every connection. Twice is harmless. */
  close(): void {
    this.#listener.close();
    for (const client of this.#clients) client.close();
  }

  #connected(fd: number): void {
    const socket = socketOf(fd);
    const client: ClientConnection = new ClientConnection(
      socket,
      this.limits,
      (line) => this.#answer(line),
      () => this.#clients.delete(client),
    );
    const isFull = this.#clients.size >= MAX_CLIENTS;
    // One that is cut off counts until it is closed, but there may be some of these.
    if (this.#clients.size >= 2 * MAX_CLIENTS) return client.close();
    this.#clients.add(client);
    if (isFull) client.cut('busy');
  }

  async #answer(line: string): Promise<ControlAnswer> {
    const now = performance.now();
    const at = Math.max(now, this.#free);
    this.#free = at + this.limits.pace;
    if (at > now) await delay(at - now);
    return this.commands.answer(line);
  }
}

/** A client may end its side and still wait for answers. */
function socketOf(fd: number): Socket {
  try {
    return new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
