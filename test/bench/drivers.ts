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
  readonly title: string;
  readonly module: string;
  readonly node: string;
  readonly words: readonly string[];
}

const scenes: readonly Scene[] = [
  {
    title: 'vivid, arena',
    module: 'vivid n_devs=1 node_types=0x1',
    node: 'vivid-000-vid-cap',
    words: ['--mmap', 'arena'],
  },
  {
    title: 'vivid, direct',
    module: 'vivid n_devs=1 node_types=0x1',
    node: 'vivid-000-vid-cap',
    words: ['--mmap', 'direct'],
  },
  {
    title: 'vim2m, arena',
    module: 'vim2m default_transtime=1',
    node: 'vim2m',
    words: ['--mmap', 'arena'],
  },
  {
    title: 'vim2m, direct',
    module: 'vim2m default_transtime=1',
    node: 'vim2m',
    words: ['--mmap', 'direct'],
  },
];

type Figures = ReadonlyMap<string, number>;

function flow(device: string, frames: string, env: NodeJS.ProcessEnv): Figures {
  const output = execFileSync(PROGRAM, [device, frames], { encoding: 'utf8', env, timeout: 300_000 });
  const lines = output.trim().split('\n');
  return new Map(lines.map((line) => line.split('\t')).map(([, key, value]) => [key!, Number(value)]));
}

/** The same program behind the bridge, which is a process of its own. */
async function bridged({ words }: Scene, device: string, frames: string, run: number): Promise<Figures> {
  const socket = `/tmp/vmb-flow-${process.pid}-${run}.sock`;
  const server = await ServeProcess.start(['--device', device, '--socket-path', socket, ...words]);
  try {
    return flow(device, frames, { ...preloaded(device, socket), BENCH_PID: `${server.pid}` });
  } finally {
    await server.kill();
  }
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;

async function measure(scene: Scene, frames: string): Promise<string[]> {
  const [module] = scene.module.split(' ');
  execFileSync('modprobe', scene.module.split(' '));
  const device = nodeNamed(scene.node);
  const runs: [Figures, Figures][] = [];
  for (let run = 0; run < RUNS; run++) {
    const native = flow(device, frames, process.env);
    runs.push([native, await bridged(scene, device, frames, run)]);
  }
  execFileSync('modprobe', ['-r', module!]);
  const pair = (key: string, digits: number) =>
    [0, 1].map((which) => median(runs.map((run) => run[which]!.get(key) ?? 0)).toFixed(digits));
  const daemon = median(runs.map(([, guest]) => guest.get('cpu') ?? 0)).toFixed(0);
  return [
    scene.title,
    pair('bytes', 0)[0]!,
    pair('rate', 1).join(' / '),
    pair('lost', 0).join(' / '),
    pair('p50', 0).join(' / '),
    pair('p99', 0).join(' / '),
    `${pair('client.cpu', 0).join(' / ')} + ${daemon}`,
  ];
}

const columns = [
  'node and `--mmap`',
  'bytes of a frame',
  'frames a second, native / guest',
  'lost',
  'delay p50, us',
  'delay p99, us',
  'CPU a frame, us: native / guest + bridge',
];
console.log(`| ${columns.join(' | ')} |\n|${'---|'.repeat(columns.length)}`);
for (const scene of scenes)
  console.log(`| ${(await measure(scene, process.argv[2] ?? '2000')).join(' | ')} |`);
