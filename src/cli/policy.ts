/** Reads what a guest may do from the options: lists of controls and formats, and limits. */
import {
  type Access,
  defaultPolicy,
  type Entry,
  MAX_BUFFERS,
  MAX_SESSION_BYTES,
  MAX_SESSIONS,
  type Policy,
} from '../media/policy.js';
import { CLASS_MASK, controlClasses, DRIVER_PRIVATE_MASK, PRIVATE_BASE } from '../v4l2/control-classes.js';
import { CONTROL_ID_MASK } from '../v4l2/control-layout.js';
import { fourccCode } from '../v4l2/names.js';
import { OperatorError } from './exit.js';
import { MAX_SHARED_MEMORY, sizeOf } from './size.js';

const one = { type: 'string', nargs: 1 } as const;

/** The options of `serve` that make its policy. */
export const policyFlags = {
  'allow-controls': {
    ...one,
    describe: 'controls that the guest has, and no others: ids and classes, with commas (docs/security.md)',
  },
  'deny-controls': { ...one, describe: 'controls that the guest does not have: ids and classes' },
  'allow-formats': { ...one, describe: 'formats that the guest has, and no others: fourccs, with commas' },
  'deny-formats': { ...one, describe: 'formats that the guest does not have: fourccs' },
  'max-sessions': { ...one, describe: `files that the guest has open at once [default: ${MAX_SESSIONS}]` },
  'max-buffers': { ...one, describe: `buffers of a queue [default: ${MAX_BUFFERS}]` },
  'max-buffer-bytes': { ...one, describe: 'size of all buffers of a session [default: 1G]' },
  'max-device-bytes': {
    ...one,
    describe: 'size of all buffers of all sessions of a device [default: 4G]',
  },
} as const;

type Flag = keyof typeof policyFlags;
type Given = Readonly<Record<string, unknown>>;

/** Bytes: one page. No buffer fits into less. */
const MIN_BUFFER_BYTES = 4096;
const GIB = 1 << 30;

/** The policy of the options of `serve`. Throws ERR_USAGE. */
export function policyOf(given: Given): Policy {
  return {
    controls: access(given, 'allow-controls', 'deny-controls', controlsOf),
    formats: access(given, 'allow-formats', 'deny-formats', formatOf),
    maxSessions: limit(given, 'max-sessions', MAX_SESSIONS),
    maxBuffers: limit(given, 'max-buffers', MAX_BUFFERS),
    maxBufferBytes: bytesLimit(given, 'max-buffer-bytes', MAX_SESSION_BYTES) ?? defaultPolicy.maxBufferBytes,
    maxDeviceBytes: bytesLimit(given, 'max-device-bytes', MAX_SHARED_MEMORY) ?? defaultPolicy.maxDeviceBytes,
  };
}

/** Turns a word of a list into entries. Throws a RangeError that says what the word must be. */
type Reader = (word: string) => readonly Entry[];

function access(given: Given, allow: Flag, deny: Flag, read: Reader): Access {
  return { allow: list(given, allow, read), deny: list(given, deny, read) ?? [] };
}

function list(given: Given, flag: Flag, read: Reader): readonly Entry[] | null {
  const text = given[flag];
  if (typeof text !== 'string') return null;
  return text.split(',').flatMap((word) => {
    try {
      return read(word);
    } catch (error) {
      if (error instanceof RangeError) throw new OperatorError('ERR_USAGE', `--${flag}: ${error.message}`);
      throw error;
    }
  });
}

const ALL: Entry = { mask: 0, value: 0 };

/** The words of a list of controls, other than ids. */
const controlWords: ReadonlyMap<string, readonly Entry[]> = new Map([
  ['all', [ALL]],
  ['private', privateEntries()],
  ...Object.entries(controlClasses).map(([name, value]): [string, readonly Entry[]] => [
    name,
    [{ mask: CLASS_MASK, value }],
  ]),
]);

/** Controls with any bit of DRIVER_PRIVATE_MASK: one entry for each value of these bits except 0. */
function privateEntries(): Entry[] {
  const step = DRIVER_PRIVATE_MASK & -DRIVER_PRIVATE_MASK;
  return Array.from({ length: DRIVER_PRIVATE_MASK / step }, (_, n) => ({
    mask: DRIVER_PRIVATE_MASK,
    value: (n + 1) * step,
  }));
}

/** The entries of a word, a class or an id. A number whose control bits are 0 is a class, as in `which` of
 * v4l2_ext_controls. */
function controlsOf(word: string): readonly Entry[] {
  const named = controlWords.get(word);
  if (named) return named;
  const id = /^(0x[0-9a-f]+|\d+)$/i.test(word) ? Number(word) : Number.NaN;
  if (!(id > 0 && id < PRIVATE_BASE))
    throw new RangeError(
      `${JSON.stringify(word)} is no control: an id such as 0x00980900 (see \`inspect\`), a class such as 0x00980000, or one of ${[...controlWords.keys()].join(', ')}`,
    );
  return [{ mask: (id & ~CLASS_MASK) === 0 ? CLASS_MASK : CONTROL_ID_MASK, value: id }];
}

function formatOf(word: string): readonly Entry[] {
  return [{ mask: 0xffff_ffff, value: fourccCode(word) }];
}

function limit(given: Given, flag: Flag, most: number): number {
  const text = given[flag];
  if (typeof text !== 'string') return most;
  const number = /^\d+$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= most) return number;
  throw new OperatorError('ERR_USAGE', `--${flag} must be a number from 1 to ${most}, not ${text}`);
}

function bytesLimit(given: Given, flag: Flag, most: number): number | undefined {
  const text = given[flag];
  if (typeof text !== 'string') return undefined;
  const size = sizeOf(text);
  if (size >= MIN_BUFFER_BYTES && size <= most) return size;
  throw new OperatorError(
    'ERR_USAGE',
    `--${flag} must be a size from 4K to ${most / GIB}G, for example 64M, not ${text}`,
  );
}
