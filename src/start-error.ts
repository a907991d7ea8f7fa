/** Why the daemon cannot start, and what the operator can do about it. */
import { errnoName } from './errno.js';
import { cures, type OpenFailure, openFailureOf } from './v4l2/open-failure.js';

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

/** The code and the cure if the node cannot be opened or queried. */
const nodeFailures: Readonly<Record<OpenFailure, { code: string; cure: string }>> = {
  absent: { code: 'ERR_NODE_NOT_FOUND', cure: 'see `virtio-media-bridge list` for the nodes of this host' },
  'not permitted': { code: 'ERR_NODE_PERMISSION', cure: 'run as a member of the group `video`, or as root' },
  forbidden: { code: 'ERR_NODE_PERMISSION', cure: cures.forbidden },
  busy: { code: 'ERR_NODE_BUSY', cure: 'another program has it, end that one first' },
  'no node': { code: 'ERR_NODE_NOT_V4L2', cure: 'choose one of `virtio-media-bridge list`' },
  gone: { code: 'ERR_NODE', cure: 'the device behind it is gone, plug it in again or load its driver' },
  'process full': { code: 'ERR_NODE', cure: cures['process full'] },
  'host full': { code: 'ERR_NODE', cure: cures['host full'] },
  silent: { code: 'ERR_NODE', cure: 'the device does not answer, unplug it or reset its driver' },
  other: { code: 'ERR_NODE', cure: 'try `virtio-media-bridge list`' },
};

const mediaPermission = 'this user needs read and write permission on its /dev/mediaN';
/** The cure if the media device cannot be opened. */
const mediaCures: Partial<Record<OpenFailure, string>> = {
  'not permitted': mediaPermission,
  forbidden: mediaPermission,
  absent: 'pass its /dev/mediaN into this container',
  gone: 'this host shows none beside it',
  'process full': cures['process full'],
};

/** The error of opening or querying the node. `cure`: replaces the one of the errno if the caller knows more. */
export function nodeFailure(errno: number, what: string, cure?: string): StartError {
  const row = nodeFailures[openFailureOf(errno)];
  return new StartError(row.code, `${what}: ${cure ?? row.cure}.`);
}

/** The error of opening the media device. `isMomentary`: the host lacked a resource, so the device is not at fault. */
export function mediaFailure(errno: number, what: string, isMomentary: boolean): StartError {
  const code = isMomentary ? 'ERR_NODE' : 'ERR_NODE_MEDIA';
  const cure = mediaCures[openFailureOf(errno)] ?? 'see dmesg';
  return new StartError(code, `${what} (${errnoName(errno)}): ${cure}.`);
}
