/** Every exit code and every ERR_ code that an operator can see. docs/errors.md explains them in prose. */

/** Exit codes, numbered as in sysexits.h. */
export const ExitCode = {
  OK: 0,
  USAGE: 64,
  UNSUITABLE: 65,
  NO_DEVICE: 66,
  UNAVAILABLE: 69,
  INTERNAL: 70,
  SYSTEM: 71,
  CANNOT_CREATE: 73,
  IO: 74,
  BUSY: 75,
  PROTOCOL: 76,
  PERMISSION: 77,
} as const;

type Name = keyof typeof ExitCode;

/** The meaning of each exit code, as a sentence. */
export const exits: readonly (readonly [name: Name, sentence: string])[] = [
  ['OK', 'the command did what it was asked, or was ended by SIGTERM or SIGINT'],
  ['USAGE', 'an option or argument is wrong or missing; nothing was opened'],
  [
    'UNSUITABLE',
    'the path is not a V4L2 node, or the node cannot be given to a guest; the device or the file is not of the right kind',
  ],
  ['NO_DEVICE', 'the device does not exist'],
  ['UNAVAILABLE', 'nobody serves the socket'],
  ['INTERNAL', 'a fault in virtio-media-bridge itself'],
  ['SYSTEM', 'the native addon or the operating system is not what is needed'],
  ['CANNOT_CREATE', 'a socket or an output file cannot be created'],
  ['IO', 'the device failed or did not answer in time'],
  ['BUSY', 'another program uses the device or the socket'],
  ['PROTOCOL', 'the other side of the socket broke the protocol'],
  ['PERMISSION', 'the user lacks a permission'],
];

/** The exit code for each ERR_ code. */
export const errorExits: ReadonlyMap<string, Name> = new Map<string, Name>([
  ['ERR_USAGE', 'USAGE'],
  ['ERR_DESCRIPTOR', 'USAGE'],
  ['ERR_NODE', 'IO'],
  ['ERR_NODE_NOT_FOUND', 'NO_DEVICE'],
  ['ERR_NODE_PERMISSION', 'PERMISSION'],
  ['ERR_NODE_BUSY', 'BUSY'],
  ['ERR_NODE_NOT_V4L2', 'UNSUITABLE'],
  ['ERR_NODE_NOT_STREAMING', 'UNSUITABLE'],
  ['ERR_NODE_MEDIA', 'PERMISSION'],
  ['ERR_NODE_NOT_M2M', 'UNSUITABLE'],
  ['ERR_NODE_NOT_CAMERA', 'UNSUITABLE'],
  ['ERR_INPUT', 'UNSUITABLE'],
  ['ERR_PRIVILEGES', 'PERMISSION'],
  ['ERR_SOCKET', 'CANNOT_CREATE'],
  ['ERR_SOCKET_IN_USE', 'BUSY'],
  ['ERR_SOCKET_CONNECT', 'UNAVAILABLE'],
  ['ERR_PEER', 'PROTOCOL'],
  ['ERR_NO_FRAMES', 'IO'],
  ['ERR_OUTPUT', 'CANNOT_CREATE'],
  ['ERR_ADDON', 'SYSTEM'],
]);

/** An error that the operator can cure. `code`: a key of `errorExits`; `message`: one sentence that names the cure. */
export class OperatorError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'OperatorError';
  }
}

/** The exit code for anything that a command threw. INTERNAL: `errorExits` does not have its code. */
export function exitCodeOf(error: unknown): number {
  const code = (error as { code?: unknown } | null)?.code;
  return ExitCode[(typeof code === 'string' && errorExits.get(code)) || 'INTERNAL'];
}
