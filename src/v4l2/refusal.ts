/** What a failure is worth: an errno that a driver says of itself holds for as long as it runs, others hold for a moment. */
import { Errno } from '../errno.js';

const lasting: ReadonlySet<number> = new Set([Errno.EINVAL, Errno.ENOTTY, Errno.EOPNOTSUPP]);
const momentary: ReadonlySet<number> = new Set([
  Errno.EINTR,
  Errno.EAGAIN,
  Errno.ENOMEM,
  Errno.ENFILE,
  Errno.EMFILE,
]);

/** Whether the driver has no such thing: the only errnos that may be remembered of it. */
export function isLasting(errno: number): boolean {
  return lasting.has(errno);
}

/** Of a file: whether the host was short of something, so that the failure says nothing of the file. */
export function isMomentary(errno: number): boolean {
  return momentary.has(errno);
}

/** Of what node:fs throws, which counts below 0, or the addon. */
export function errnoOf(error: unknown): number {
  return Math.abs((error as NodeJS.ErrnoException).errno ?? Errno.EIO);
}

/** For a file that need not be there: `absent` in its place. Throws where that it could not be read says nothing. */
export function otherwise<T>(absent: T): (error: unknown) => T {
  return (error) => {
    if (isMomentary(errnoOf(error))) throw error;
    return absent;
  };
}
