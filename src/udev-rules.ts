/** udev rules that give a V4L2 node a name below /dev and let systemd serve it under that name (udev/README.md). */

/** The nodes that a rule is for: those that match everything that is given. Values are globs of udev(7). */
export interface NodeMatch {
  /** Name below /dev, and of the instance of the units: letters, digits and `_`. A `%n` at its end is the node's number. */
  readonly name: string;
  /** ID_SERIAL of udev: vendor, model and serial number of a USB device. */
  readonly serial?: string | undefined;
  /** ID_PATH of udev: the port. The name of a link in /dev/v4l/by-path means the same, and the node's index. */
  readonly path?: string | undefined;
  /** The kernel driver of the device. */
  readonly driver?: string | undefined;
  /** The name that the driver gives to the node. */
  readonly card?: string | undefined;
  /** Which node of the device: a webcam has its pictures in the first one, 0, and metadata in the second. Absent: 0. */
  readonly index?: number | undefined;
  readonly unplug: Unplug;
}

/**
 * What happens when the device is unplugged. keep: the socket and the process stay, and serve it again when it is back.
 * stop: both end, so a VMM loses its back-end.
 */
export type Unplug = 'keep' | 'stop';
export const unplugChoices: readonly Unplug[] = ['keep', 'stop'];

/** A value that a rule cannot express. `key`: its key in NodeMatch; `message`: the end of a sentence about the value. */
export class RuleError extends Error {
  constructor(
    readonly key: keyof NodeMatch,
    message: string,
  ) {
    super(message);
  }
}

type Glob = 'serial' | 'path' | 'driver' | 'card';
const keys: readonly (readonly [match: Glob, key: string])[] = [
  ['serial', 'ENV{ID_SERIAL}'],
  ['path', 'ENV{ID_PATH}'],
  ['driver', 'DRIVERS'],
  ['card', 'ATTR{name}'],
];

/** The unit that a device wants while it is plugged in. */
const wanted: Readonly<Record<Unplug, (name: string) => string>> = {
  keep: (name) => `virtio-media-bridge@${name}.socket`,
  stop: (name) => `virtio-media-bridge-plugged@${name}.target`,
};

const NAME = /^[A-Za-z0-9_]+(%n)?$/;
const LINK = /^(.+)-video-index(\d+)$/;

/** One line for each. Throws RuleError. */
export const rulesOf = (matches: readonly NodeMatch[]): string =>
  matches.map((match) => `${ruleOf(match)}\n`).join('');

function ruleOf(match: NodeMatch): string {
  if (!NAME.test(match.name))
    throw new RuleError('name', 'may have letters, digits and _ only, and %n at its end');
  const [, path = match.path, index = `${match.index ?? 0}`] = LINK.exec(match.path ?? '') ?? [];
  const given = { ...match, path };
  const conditions = keys.flatMap(([name, key]) => {
    const glob = given[name];
    return glob === undefined ? [] : [`${key}=="${checked(name, glob)}"`];
  });
  if (conditions.length === 0)
    throw new RuleError('serial', 'or path, driver or card must be there: a rule must not match every node');
  return [
    'ACTION!="remove"',
    'SUBSYSTEM=="video4linux"',
    ...conditions,
    `ATTR{index}=="${index}"`,
    `SYMLINK+="${match.name}"`,
    'TAG+="systemd"',
    `ENV{SYSTEMD_WANTS}+="${wanted[match.unplug](match.name)}"`,
  ].join(', ');
}

/** udev has no escape for a quotation mark that all its releases know, and a rule is one line. */
function checked(key: Glob, glob: string): string {
  if (glob === '') throw new RuleError(key, 'is empty');
  if (/["\\]|[^\x20-\x7e]/.test(glob))
    throw new RuleError(key, 'may have no quotation mark, no backslash and no sign beyond ASCII');
  return glob;
}
