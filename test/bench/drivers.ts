/**
 * Frames of vivid and vim2m at their highest rate: a native program, and the same program as a guest of the bridge, in
 * turn, five times each. Runs in the lab: test/bench/drivers.sh. docs/performance.md has the table.
 */
import { execFileSync } from 'node:child_process';
import { nodeNamed } from '../lab/support/kernel-modules.js';
import { ServeProcess } from '../lab/support/serve-process.js';
import { preloaded } from '../preload/support/bridge.js';

const RUNS = 5;
const PROGRAM = 'build/bench-lab/flow';

interface Scene {
  /** The command line for modprobe. */
  readonly module: string;
  readonly node: string;
}

const scenes: readonly Scene[] = [
  { module: 'vivid n_devs=1 node_types=0x1', node: 'vivid-000-vid-cap' },
  { module: 'vim2m default_transtime=1', node: 'vim2m' },
];
/** Values of --mmap. */
const ways = ['arena', 'direct'] as const;
type Way = (typeof ways)[number];

type Figures = ReadonlyMap<string, number>;

function flow(device: string, frames: string, env: NodeJS.ProcessEnv): Figures {
  const output = execFileSync(PROGRAM, [device, frames], { encoding: 'utf8', env, timeout: 300_000 });
  const lines = output.trim().split('\n');
  return new Map(lines.map((line) => line.split('\t')).map(([, key, value]) => [key!, Number(value)]));
}

/** The same program behind the bridge, which is a process of its own. */
async function bridged(way: Way, device: string, frames: string, run: number): Promise<Figures> {
  const socket = `/tmp/vmb-flow-${process.pid}-${run}.sock`;
  const server = await ServeProcess.start(['--device', device, '--socket-path', socket, '--mmap', way]);
  try {
    return flow(device, frames, preloaded(device, socket));
  } finally {
    await server.kill();
  }
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

async function measure({ module, node }: Scene, way: Way, frames: string): Promise<string[]> {
  const words = module.split(' ');
  execFileSync('modprobe', words);
  const device = nodeNamed(node);
  const runs: [Figures, Figures][] = [];
  for (let run = 0; run < RUNS; run++)
    runs.push([flow(device, frames, process.env), await bridged(way, device, frames, run)]);
  execFileSync('modprobe', ['-r', words[0]!]);
  const pair = (key: string, digits: number) =>
    [0, 1].map((which) => median(runs.map((run) => run[which]!.get(key)!)).toFixed(digits));
  const [bytes] = pair('bytes', 0);
  const figures = [pair('rate', 1), pair('lost', 0), pair('p50', 0), pair('p99', 0)];
  return [`${words[0]}, ${way}`, bytes!, ...figures.map((both) => both.join(' / '))];
}

const columns = [
  'node and `--mmap`',
  'bytes of a frame',
  'frames a second, native / guest',
  'lost by the driver',
  'timestamp to DQBUF p50, us',
  'p99, us',
];
console.log(`| ${columns.join(' | ')} |\n|${'---|'.repeat(columns.length)}`);
for (const scene of scenes)
  for (const way of ways)
    console.log(`| ${(await measure(scene, way, process.argv[2] ?? '2000')).join(' | ')} |`);
