/**
 * `npm run endurance -- [--sessions N] [--frames N] [--camera-frames N] [--fake-sessions N]`: long runs, with figures. The
 * first three want vivid, vim2m and vivid again, as in the lab; sessions run on all of vivid's cameras side by side:
 *
 *     test/lab/run.sh --timeout 7200 -- sh -c 'modprobe vivid n_devs=8 node_types=0x1 && npm run -s endurance -- --sessions 100000'
 */
import { parseArgs } from 'node:util';
import { nodeNamed, nodesNamed } from '../lab/kernel-modules.js';
import { Endurance } from './endurance.js';
import { endureFakeSessions } from './fake-sessions.js';
import { endureCamera, endureConverter } from './frames.js';
import { endureSessions } from './sessions.js';

const PROGRESS_MS = 30_000;
const CAMERA = 'vivid-000-vid-cap';
const cameras = () => nodesNamed((name) => /^vivid-\d+-vid-cap$/.test(name));

type Report = (done: number) => void;

/** On a daemon that serves these nodes. */
const on =
  (nodes: () => string[], run: (endurance: Endurance, count: number, report: Report) => Promise<string>) =>
  async (count: number, report: Report) => {
    const endurance = await Endurance.serve(nodes());
    try {
      return await run(endurance, count, report);
    } finally {
      await endurance.close();
    }
  };

const runs = {
  sessions: on(cameras, endureSessions),
  frames: on(() => [nodeNamed('vim2m')], endureConverter),
  'camera-frames': on(() => [nodeNamed(CAMERA)], endureCamera),
  'fake-sessions': endureFakeSessions,
} as const;
type Run = keyof typeof runs;

const { values } = parseArgs({
  options: Object.fromEntries(Object.keys(runs).map((name) => [name, { type: 'string' as const }])),
});
const wanted = Object.entries(values).map(([name, count]) => [name as Run, Number(count)] as const);
const wrong = wanted.find(([, count]) => !Number.isSafeInteger(count) || count < 1);
if (wrong || wanted.length === 0) {
  console.error(
    `usage: npm run endurance -- ${Object.keys(runs)
      .map((name) => `[--${name} N]`)
      .join(' ')}`,
  );
  process.exit(2);
}

/** Says now and then how far it is. */
function progress(name: string, count: number): Report {
  let told = performance.now();
  return (done) => {
    if (performance.now() - told < PROGRESS_MS) return;
    told = performance.now();
    console.error(`${name}: ${done} of ${count}`);
  };
}

for (const [name, count] of wanted) console.log(await runs[name](count, progress(name, count)));
