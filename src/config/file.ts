/** The file of a configuration: read whole, once, and only if nobody else than its owner may write to it. */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';

/** Where a configuration is if no file is named. */
export const DEFAULT_FILE = '/etc/virtio-media-bridge/config.yaml';
/** Bytes. A thousand VMs need less. */
export const MAX_FILE_BYTES = 0x4_0000;

/** The configuration cannot be used. A code of docs/errors.md and a sentence with the cure. */
export class ConfigurationError extends Error {
  readonly code = 'ERR_CONFIG';
}

const ROOT = 0;
const WRITABLE_BY_OTHERS = 0o022;

/** The text of the file. `uid`: the user of the process. Throws ConfigurationError. */
export function configurationText(path: string, uid = process.geteuid!()): string {
  const bytes = readBytes(path, uid);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigurationError(`${path} is no UTF-8: save it as such`);
  }
}

function readBytes(path: string, uid: number): Buffer {
  let fd: number | undefined;
  try {
    // O_NONBLOCK: a pipe must not hold the process up.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    check(path, fstatSync(fd), uid);
    return read(path, fd);
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    const { code = '' } = error as NodeJS.ErrnoException;
    throw new ConfigurationError(`${path} cannot be read: ${cures[code] ?? code}`);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

const cures: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not, let it read the file and its folder',
};

/** Root makes sockets and changes its user as the file says. So it believes only a file that is root's. */
function check(path: string, status: Stats, uid: number): void {
  if (!status.isFile()) throw new ConfigurationError(`${path} is no file`);
  if (uid !== ROOT) return;
  if (status.uid !== ROOT)
    throw new ConfigurationError(`${path} is not root's, and root obeys it: \`chown root ${path}\``);
  if ((status.mode & WRITABLE_BY_OTHERS) !== 0)
    throw new ConfigurationError(
      `${path} may be written by others, and root obeys it: \`chmod go-w ${path}\``,
    );
}

function read(path: string, fd: number): Buffer {
  const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
  let length = 0;
  for (let got = -1; got !== 0 && length < bytes.length; length += got)
    got = readSync(fd, bytes, length, bytes.length - length, null);
  if (length > MAX_FILE_BYTES)
    throw new ConfigurationError(`${path} has more than ${MAX_FILE_BYTES >> 10} KiB: it is no configuration`);
  return bytes.subarray(0, length);
}
