/** What each errno of opening a node means. Whoever reports it has words of its own for each meaning. */
import { Errno } from '../errno.js';

/**
 * `absent`: there is no such file. `gone`: the file has no device any more. `not permitted`: the mode of the file or an
 * ACL is against this user. `forbidden`: the device policy of a container or unit is. `busy`: another open file keeps
 * the device. `no node`: the file is no V4L2 node. `process full`, `host full`: no more descriptors, no more open files.
 * `silent`: the device does not answer. `other`: the errno says no more.
 */
export type OpenFailure =
  | 'absent'
  | 'gone'
  | 'not permitted'
  | 'forbidden'
  | 'busy'
  | 'no node'
  | 'process full'
  | 'host full'
  | 'silent'
  | 'other';

/** The errnos of open(2), and those of the first ioctl, QUERYCAP, and of waiting for either. */
const failures: ReadonlyMap<number, OpenFailure> = new Map([
  [Errno.ENOENT, 'absent'],
  [Errno.ENODEV, 'gone'],
  [Errno.ENXIO, 'gone'],
  [Errno.EACCES, 'not permitted'],
  [Errno.EPERM, 'forbidden'],
  [Errno.EBUSY, 'busy'],
  [Errno.ENOTTY, 'no node'],
  [Errno.EMFILE, 'process full'],
  [Errno.ENFILE, 'host full'],
  [Errno.ETIMEDOUT, 'silent'],
]);

/** What helps against each that has the same reason whenever it comes. */
export const cures = {
  forbidden: 'the container or unit must allow char-video4linux devices',
  'process full': 'this process has as many descriptors as it may: raise LimitNOFILE',
  'host full': 'the host has as many open files as it may: raise fs.file-max',
} as const satisfies Partial<Record<OpenFailure, string>>;

/** What the errno means. */
export function openFailureOf(errno: number): OpenFailure {
  return failures.get(errno) ?? 'other';
}

/** Whether the errno means that the device does not exist. */
export function isAbsent(errno: number): boolean {
  return ['absent', 'gone'].includes(openFailureOf(errno));
}
