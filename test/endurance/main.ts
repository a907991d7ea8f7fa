/**
 * `npm run endurance -- [--sessions N] [--frames N] [--camera-frames N] [--fake-sessions N]`: long runs, with figures. The
 * first three want vivid, vim2m and vivid again, as in the lab:
 *
 *     test/lab/run.sh --timeout 3600 -- sh -c 'modprobe -a vivid vim2m && npm run -s endurance -- --sessions 10000'
 */
import { parseArgs } from 'node:util';
import { nodeNamed } from '../lab/kernel-modules.js';
import { Endurance } from './endurance.js';
import { endureFakeSessions } from './fake-sessions.js';
import { endureCamera, endureConverter } from './frames.js';
import { endureSessions } from './sessions.js';

const PROGRESS_MS = 30_000;
const CAMERA = 'vivid-000-vid-cap';

type Report = (done: number) => void;

/** On a daemon that serves the node of this name. */
const on =
  (node: string, run: (endurance: Endurance, count: number, report: Report) => Promise<string>) =>
  async (count: number, report: Report) => {
    const endurance = await Endurance.serve(nodeNamed(node));
    try {
      return await run(endurance, count, report);
    } finally {
      await endurance.close();
    }
  };

const runs = {
  sessions: on(CAMERA, endureSessions),
  frames: on('vim2m', endureConverter),
  'camera-frames': on(CAMERA, endureCamera),
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
