/** The options of `serve` that protect whoever is in front of the camera. */
import { accessSync, constants } from 'node:fs';
import { split } from 'shlex';
import type { ServeOptions } from '../daemon.js';
import { OperatorError } from './exit.js';

const one = { type: 'string', nargs: 1 } as const;

const muteWith: readonly NonNullable<ServeOptions['muted']>[] = ['black', 'none'];

export const privacyFlags = {
  'on-demand': {
    type: 'boolean',
    default: false,
    describe: 'open a device only while a guest has it open: nothing else wakes it up (docs/security.md)',
  },
  muted: {
    type: 'boolean',
    default: false,
    describe:
      'start muted: no guest gets a picture of the device, and the device does not stream (docs/security.md)',
  },
  'mute-with': {
    ...one,
    choices: muteWith,
    describe: 'what a guest gets of a device that starts muted: black frames, or none [default: black]',
  },
  approve: {
    ...one,
    describe:
      'program that is asked at each open() of a guest: absolute path and arguments; exit status 0 is a yes (docs/security.md)',
  },
} as const;

type Given = Readonly<Record<string, unknown>>;

/** What the options say. Throws ERR_USAGE. */
export function privacyOf(given: Given): Pick<ServeOptions, 'approve' | 'muted' | 'onDemand'> {
  const { approve } = given;
  const onDemand = given['on-demand'] === true;
  if (onDemand && isInherited(given))
    throw usage(
      '--on-demand and an inherited descriptor exclude each other: the device is open all the time',
    );
  if (given['mute-with'] !== undefined && given.muted !== true)
    throw usage('--mute-with says how --muted mutes: give both');
  const muted = (given['mute-with'] as ServeOptions['muted']) ?? 'black';
  return {
    ...(given.muted === true && { muted }),
    ...(onDemand && { onDemand }),
    ...(typeof approve === 'string' && { approve: commandOf(approve) }),
  };
}

/** Whether a device is a descriptor of this process: by number, or by its path in /proc. */
function isInherited(given: Given): boolean {
  const paths = (given.device as string[] | undefined) ?? [];
  return given['device-fd'] !== undefined || paths.some((path) => /^\/(proc\/[^/]+|dev)\/fd\//.test(path));
}

/** The words of a command. There is no shell: quotes keep words together, and nothing else has a meaning. */
function commandOf(text: string): readonly string[] {
  const words = wordsOf(text);
  const [program = ''] = words;
  if (!program.startsWith('/'))
    throw usage(`--approve must begin with the absolute path of a program, not ${program || 'nothing'}`);
  try {
    accessSync(program, constants.X_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usage(`--approve ${program} cannot be run: ${code}`);
  }
  return words;
}

function wordsOf(text: string): string[] {
  try {
    return split(text);
  } catch {
    throw usage(`--approve ${text} has a quote that does not end`);
  }
}

const usage = (message: string): OperatorError => new OperatorError('ERR_USAGE', message);
