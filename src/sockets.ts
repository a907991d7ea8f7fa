/** The sockets that VMMs connect to. They are made before the process drops the privileges that it needs for that. */
import { closeSync } from 'node:fs';
import { StartError } from './start-error.js';
import { listenAt, removeSocket, type SocketFile } from './vhost-user/listener.js';

/**
 * A path to listen at, with the descriptor of a socket if one listens there already; a listening socket; or a connected
 * one.
 */
export type SocketSource =
  | { path: string; listeningFd?: number }
  | { listeningFd: number }
  | { connectedFd: number };

/** A listening socket and its path. */
export interface OpenSocket {
  readonly path: string;
  readonly fd: number;
}

/** Listens at every path, in order. If one fails, it closes all and throws StartError. */
export function openSockets(sources: readonly SocketSource[], file?: SocketFile): OpenSocket[] {
  const opened: OpenSocket[] = [];
  for (const source of sources) {
    if (!('path' in source) || source.listeningFd !== undefined) continue;
    try {
      opened.push({ path: source.path, fd: listenAt(source.path, file) });
    } catch (error) {
      closeSockets(opened);
      throw socketError(source.path, error as NodeJS.ErrnoException);
    }
  }
  return opened;
}

/** The sockets that an earlier start of this program has opened. */
export function openedBefore(sources: readonly SocketSource[]): OpenSocket[] {
  return sources.flatMap((source) =>
    'path' in source && source.listeningFd !== undefined
      ? [{ path: source.path, fd: source.listeningFd }]
      : [],
  );
}

/** Closes the sockets and removes their files. */
export function closeSockets(opened: readonly OpenSocket[]): void {
  for (const { path, fd } of opened) {
    closeSync(fd);
    removeSocket(path);
  }
}

/** The error of listening as a sentence for the operator. */
export function socketError(at: string, error: NodeJS.ErrnoException): StartError {
  const code = error.code === 'EADDRINUSE' ? 'ERR_SOCKET_IN_USE' : 'ERR_SOCKET';
  return new StartError(code, `Cannot listen at ${at}: ${socketCures[error.code ?? ''] ?? error.message}.`);
}

const socketCures: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process serves it, choose another path or stop that one',
  EACCES: 'no permission, choose a folder that this user may write to',
  EPERM: 'only root may give it to another user, others only to a group of their own',
  ENOENT: 'its folder does not exist, create it first',
  EEXIST: 'a file that is no socket is there, remove it or choose another path',
  ENAMETOOLONG: 'a unix socket path has at most 107 bytes, choose a shorter one',
};
