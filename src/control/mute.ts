/** The commands `mute` and `unmute` of a control socket. */
import { type ControlArguments, type ControlCommands, ControlError } from './commands.js';

/** What a guest gets of a muted device. */
const ways = ['black', 'none'] as const;
type Way = (typeof ways)[number];

/** A device that is served. */
export interface MutableDevice {
  readonly path: string;
  readonly isMutable: boolean;
  readonly mute: {
    readonly isMuted: boolean;
    readonly how: Way | null;
    mute(how: Way): Promise<void>;
    unmute(): Promise<void>;
  };
}

/** What a command answers, for each device that it was about. */
export interface MuteStatus {
  readonly device: string;
  /** null: it is not muted. */
  readonly muted: Way | null;
}

/** Adds the commands. `devices`: those that are served now. */
export function addMute(commands: ControlCommands, devices: () => readonly MutableDevice[]): void {
  commands.add('mute', (given) => {
    const how = wayOf(given);
    return each(devices(), given, ({ mute }) => mute.mute(how));
  });
  commands.add('unmute', (given) => each(devices(), given, ({ mute }) => mute.unmute()));
}

function wayOf({ with: given = 'black' }: ControlArguments): Way {
  const way = ways.find((known) => known === given);
  if (!way) throw new ControlError('arguments', `"with" is ${ways.join(' or ')}`);
  return way;
}

async function each(
  devices: readonly MutableDevice[],
  { device }: ControlArguments,
  act: (device: MutableDevice) => Promise<void>,
): Promise<MuteStatus[]> {
  if (device !== undefined && typeof device !== 'string')
    throw new ControlError('arguments', '"device" is the path of a device');
  const named = devices.filter(({ path }) => device === undefined || path === device);
  const chosen = named.filter(({ isMutable }) => isMutable);
  if (named.length === 0 && device !== undefined)
    throw new ControlError('arguments', `${device} is not served`);
  if (chosen.length === 0)
    throw new ControlError(
      'failed',
      `${device ?? 'no device that is served'} has no picture of its own to mute`,
    );
  await Promise.all(chosen.map(act));
  return chosen.map(({ path, mute }) => ({ device: path, muted: mute.how }));
}
