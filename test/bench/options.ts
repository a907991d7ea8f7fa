/** The options of `npm run bench`. */
import { parseArgs } from 'node:util';
import { split } from 'shlex';

export type Vmm = 'qemu' | 'crosvm';
export type Cores = 1 | 2;

/** Another back-end that is measured beside ours. */
export interface Peer {
  readonly name: string;
  /** Words; `@DEVICE@` and `@SOCKET@` are replaced in each. */
  readonly command: readonly string[];
  readonly vmms: readonly Vmm[];
  /** Whether memory that it maps comes back as a memory region, as QEMU does it. */
  readonly echo: boolean;
}

export interface Options {
  readonly runs: number;
  readonly vmms: readonly Vmm[];
  readonly cores: readonly Cores[];
  readonly peer: Peer | undefined;
  /** Phases of lat, each `NAME=COUNT`. */
  readonly phases: readonly string[];
  readonly json: string | undefined;
  /** Only a check that the bench works: small counts, one run. */
  readonly quick: boolean;
  readonly growth: boolean;
}

/** A mistake of the operator, in a sentence. */
export class UsageError extends Error {}

export const usage = `usage: npm run bench -- [OPTION]...

  --runs N              runs of which the medians are taken (5)
  --vmm qemu|crosvm     the VMM that the guest's library plays (both)
  --cores 1|2           processors for the guest and the back-end (both)
  --peer COMMAND        another back-end: words, with @DEVICE@ and @SOCKET@. It must stay in the foreground
  --peer-name NAME      its name in the table (peer)
  --peer-vmm qemu|crosvm  the VMM for it (those of --vmm)
  --peer-no-echo        QEMU's manner, but what the peer maps does not come back to it as a memory region
  --phases LIST         phases of test/bench/native/lat.c, such as "warm=9000 G_INPUT=8000 stream=8000"
  --growth              how the cost grows with sessions and with the guest's memory, instead of the tables
  --json FILE           every value, as JSON
  --quick               small counts and one run: a check that the bench works
`;

const PHASES = ['warm=9000', 'G_INPUT=8000', 'EXT_CTRLS=4000', 'paced=300', 'stream=8000', 'rate120=240'];
const QUICK_PHASES = ['warm=60', 'G_INPUT=60', 'EXT_CTRLS=60', 'paced=10', 'stream=60', 'rate120=6'];
const PHASE = /^(cold|warm|files|G_FMT|G_INPUT|EXT_CTRLS|paced|stream|rate[1-9]\d{0,3})=[1-9]\d{0,6}$/;

const VMMS = ['qemu', 'crosvm'] as const;
const MOST_RUNS = 1000;

const known = {
  runs: { type: 'string' },
  vmm: { type: 'string', multiple: true },
  cores: { type: 'string', multiple: true },
  peer: { type: 'string' },
  'peer-name': { type: 'string' },
  'peer-vmm': { type: 'string', multiple: true },
  'peer-no-echo': { type: 'boolean' },
  phases: { type: 'string' },
  growth: { type: 'boolean' },
  json: { type: 'string' },
  quick: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

function values(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options: known }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

type Values = ReturnType<typeof values>;

function oneOf<T extends string>(
  option: string,
  given: readonly string[] | undefined,
  all: readonly T[],
): T[] {
  const unknown = given?.find((each) => !all.includes(each as T));
  if (unknown !== undefined) throw new UsageError(`--${option} ${unknown}: it is one of ${all.join(', ')}`);
  return all.filter((each) => given === undefined || given.includes(each));
}

function runsOf({ runs, quick }: Values): number {
  const count = Number(runs ?? (quick ? 1 : 5));
  if (!Number.isInteger(count) || count < 1 || count > MOST_RUNS)
    throw new UsageError(`--runs ${runs}: it is a number from 1 to ${MOST_RUNS}`);
  return count;
}

function phasesOf({ phases, quick }: Values): readonly string[] {
  if (phases === undefined) return quick ? QUICK_PHASES : PHASES;
  const list = phases.split(/\s+/).filter((each) => each !== '');
  const unknown = list.find((each) => !PHASE.test(each));
  if (list.length === 0 || unknown !== undefined)
    throw new UsageError(`--phases ${unknown ?? phases}: a phase is NAME=COUNT, such as G_INPUT=8000`);
  return list;
}

function wordsOf(command: string): string[] {
  try {
    return split(command);
  } catch (error) {
    throw new UsageError(`--peer ${command}: ${(error as Error).message}`);
  }
}

function peerOf(given: Values, vmms: readonly Vmm[]): Peer | undefined {
  if (given.peer === undefined) {
    const alone = (['peer-name', 'peer-vmm', 'peer-no-echo'] as const).find(
      (option) => given[option] !== undefined,
    );
    if (alone) throw new UsageError(`--${alone} is of use only with --peer`);
    return undefined;
  }
  const command = wordsOf(given.peer);
  if (!command.some((word) => word.includes('@SOCKET@')))
    throw new UsageError('--peer: the command needs @SOCKET@, and @DEVICE@ if it takes a device');
  const name = given['peer-name'] ?? 'peer';
  if (!/^[\w.-]+$/.test(name)) throw new UsageError(`--peer-name ${name}: letters, digits, dots and dashes`);
  const chosen = given['peer-vmm'];
  return {
    name,
    command,
    vmms: chosen ? oneOf('peer-vmm', chosen, VMMS) : vmms,
    echo: !given['peer-no-echo'],
  };
}

/** `undefined`: the operator asks for help. Throws a UsageError. */
export function optionsOf(words: readonly string[]): Options | undefined {
  const given = values(words);
  if (given.help) return undefined;
  const useless = (['json', 'peer', 'phases', 'vmm'] as const).find((option) => given[option] !== undefined);
  if (given.growth && useless) throw new UsageError(`--${useless} is of no use with --growth`);
  const vmms = oneOf('vmm', given.vmm, VMMS);
  return {
    runs: runsOf(given),
    vmms,
    cores: oneOf('cores', given.cores, ['1', '2']).map((each) => Number(each) as Cores),
    peer: peerOf(given, vmms),
    phases: phasesOf(given),
    json: given.json,
    quick: given.quick ?? false,
    growth: given.growth ?? false,
  };
}
