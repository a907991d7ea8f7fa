/**
 * Kinds of errno. A lasting errno says something about the driver and is true as long as the driver runs. Any other
 * errno is true only for the moment.
 */
import { Errno } from '../errno.js';
import { type Failure, failure } from '../result.js';

const lasting: ReadonlySet<number> = new Set([Errno.EINVAL, Errno.ENOTTY, Errno.EOPNOTSUPP]);
const momentary: ReadonlySet<number> = new Set([
  Errno.EINTR,
  Errno.EAGAIN,
  Errno.ENOMEM,
  Errno.ENFILE,
  Errno.EMFILE,
]);

/** Whether the errno means that the driver does not support the call. Only these errnos may be remembered. */
export function isLasting(errno: number): boolean {
  return lasting.has(errno);
}

/** For a file: whether the host was short of something. Then the failure says nothing about the file. */
export function isMomentary(errno: number): boolean {
  return momentary.has(errno);
}

/** The positive errno of an error that the addon or node:fs throws (node:fs uses negative ones). Default: EIO. */
export function errnoOf(error: unknown): number {
  return Math.abs((error as NodeJS.ErrnoException).errno ?? Errno.EIO);
}

/** The failure that an error of the addon or of node:fs means. */
export function failureOf(error: unknown): Failure {
  return failure(errnoOf(error));
}

/**
 * A handler for a file that may be absent: returns `absent`. Throws the error if it is momentary, because then the
 * file may exist.
 */
export function otherwise<T>(absent: T): (error: unknown) => T {
  return (error) => {
    if (isMomentary(errnoOf(error))) throw error;
    return absent;
  };
}
