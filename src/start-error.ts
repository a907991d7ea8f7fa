/** Why the daemon cannot start, and what each errno means to the operator. */
import { Errno, errnoName } from './errno.js';

/** A code of docs/errors.md and a sentence with the cure. */
export class StartError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'StartError';
  }
}

const TOO_MANY_FILES = 'this process has as many descriptors as it may: raise LimitNOFILE';

/** The code and the cure for each errno of opening or querying the node. */
const nodeFailures: Readonly<Record<string, { code: string; cure: string }>> = {
  ENOENT: { code: 'ERR_NODE_NOT_FOUND', cure: 'see `virtio-media-bridge list` for the nodes of this host' },
  EACCES: { code: 'ERR_NODE_PERMISSION', cure: 'run as a member of the group `video`, or as root' },
  EPERM: { code: 'ERR_NODE_PERMISSION', cure: 'the container or unit must allow char-video4linux devices' },
  EBUSY: { code: 'ERR_NODE_BUSY', cure: 'another program has it, end that one first' },
  ENOTTY: { code: 'ERR_NODE_NOT_V4L2', cure: 'choose one of `virtio-media-bridge list`' },
  ENODEV: { code: 'ERR_NODE', cure: 'the device behind it is gone, plug it in again or load its driver' },
  ENXIO: { code: 'ERR_NODE', cure: 'the device behind it is gone, plug it in again or load its driver' },
  EMFILE: { code: 'ERR_NODE', cure: TOO_MANY_FILES },
  ETIMEDOUT: { code: 'ERR_NODE', cure: 'the device does not answer, unplug it or reset its driver' },
  other: { code: 'ERR_NODE', cure: 'try `virtio-media-bridge list`' },
};

const mediaPermission = 'this user needs read and write permission on its /dev/mediaN';
/** The cure for each errno of opening the media device. */
const mediaCures: Readonly<Record<number, string>> = {
  [Errno.EACCES]: mediaPermission,
  [Errno.EPERM]: mediaPermission,
  [Errno.ENOENT]: 'pass its /dev/mediaN into this container',
  [Errno.ENODEV]: 'this host shows none beside it',
  [Errno.EMFILE]: TOO_MANY_FILES,
};

/** The error of opening or querying the node. `cure`: replaces the one of the errno if the caller knows more. */
export function nodeFailure(errno: number, what: string, cure?: string): StartError {
  const row = nodeFailures[errnoName(errno)] ?? nodeFailures.other!;
  return new StartError(row.code, `${what}: ${cure ?? row.cure}.`);
}

/** The error of opening the media device. `isMomentary`: the host lacked a resource, so the device is not at fault. */
export function mediaFailure(errno: number, what: string, isMomentary: boolean): StartError {
  const code = isMomentary ? 'ERR_NODE' : 'ERR_NODE_MEDIA';
  return new StartError(code, `${what} (${errnoName(errno)}): ${mediaCures[errno] ?? 'see dmesg'}.`);
}
