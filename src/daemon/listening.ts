/** The socket at which a device waits for its VMM. */
import { type SocketSource, socketError } from '../sockets.js';
import { Listener, type SocketFile } from '../vhost-user/listener.js';

/** A socket to listen at. A connected one is none. */
type ListeningSource = Exclude<SocketSource, { readonly connectedFd: number }>;

/** Who may connect. */
interface Admission {
  readonly socketFile?: SocketFile;
  readonly allowUids?: readonly number[];
}

/** The path of a socket, or the number of its descriptor. */
export function socketName(socket: SocketSource): string {
  if ('path' in socket) return socket.path;
  return String('connectedFd' in socket ? socket.connectedFd : socket.listeningFd);
}

/** Listens at a socket. Throws StartError. */
export function listen(
  socket: ListeningSource,
  { socketFile: file, allowUids }: Admission,
  onConnection: (fd: number) => void,
): Listener {
  const at = 'path' in socket ? (socket.listeningFd ?? socket.path) : socket.listeningFd;
  try {
    return new Listener(at, onConnection, {
      ...(file && { file }),
      ...(allowUids && { allowUids }),
      ...('path' in socket && { path: socket.path }),
    });
  } catch (error) {
    throw socketError(socketName(socket), error as NodeJS.ErrnoException);
  }
}
