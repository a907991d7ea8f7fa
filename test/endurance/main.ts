/**
 * `npm run endurance -- [--sessions N] [--frames N] [--camera-frames N] [--fake-sessions N]`: long runs, with figures.
 * The first three need vivid, vim2m and vivid, as in the lab, or the nodes that `--devices` names, separated by commas.
 * Sessions run on all cameras of vivid side by side:
 *
 *     VMB_LAB_ACCEL=um test/lab/run.sh --timeout 7200 -- sh -c 'modprobe vivid n_devs=6 node_types=0x1,0x1,0x1,0x1,0x1,0x1 &&
 *       node dist/test/endurance/main.js --sessions 100000'
 */
import { parseArgs } from 'node:util';
import { nodeNamed, nodesNamed } from '../lab/support/kernel-modules.js';
import { Endurance } from './endurance.js';
import { endureFakeSessions } from './fake-sessions.js';
import { endureCamera, endureConverter } from './frames.js';
import { holdings } from './holdings.js';
import { type Processes, ProgressReport } from './progress.js';
import { endureSessions } from './sessions.js';

const CAMERA = 'vivid-000-vid-cap';
const cameras = () => nodesNamed((name) => /^vivid-\d+-vid-cap$/.test(name));

type Report = (done: number) => void;
/** Runs `count` steps and returns a line of figures. */
type Run = (count: number, name: string) => Promise<string>;

/** Runs `run` and reports its progress meanwhile. */
async function told(
  name: string,
  count: number,
  processes: Processes,
  run: (report: Report) => Promise<string>,
): Promise<string> {
  const report = await ProgressReport.start(name, count, processes);
  try {
    return await run(report.progress);
  } finally {
    report.stop();
  }
}

/** Makes a run on a daemon that serves these nodes, or those that `--devices` names. */
const on =
  (
    nodes: () => string[],
    run: (endurance: Endurance, count: number, report: Report) => Promise<string>,
  ): Run =>
  async (count, name) => {
    const endurance = await Endurance.serve(chosen ?? nodes());
    try {
      const processes = { daemon: () => endurance.holdings(), 'guest and VMM': holdings };
      return await told(name, count, processes, (report) => run(endurance, count, report));
    } finally {
      await endurance.close();
    }
  };

const runs: Readonly<Record<string, Run>> = {
  sessions: on(cameras, endureSessions),
  frames: on(() => [nodeNamed('vim2m')], endureConverter),
  'camera-frames': on(() => [nodeNamed(CAMERA)], endureCamera),
  'fake-sessions': (count, name) =>
    told(name, count, { 'all in one': holdings }, (report) => endureFakeSessions(count, report)),
};

const { values } = parseArgs({
  options: Object.fromEntries(['devices', ...Object.keys(runs)].map((name) => [name, { type: 'string' }])),
});
const { devices, ...counts } = values as Record<string, string>;
const chosen = devices?.split(',');
const wanted = Object.entries(counts).map(([name, count]) => [name, Number(count)] as const);
if (wanted.length === 0 || !wanted.every(([, count]) => Number.isSafeInteger(count) && count > 0)) {
  const options = Object.keys(runs).map((name) => `[--${name} N]`);
  console.error(`usage: npm run endurance -- [--devices NODE,...] ${options.join(' ')}`);
  process.exit(2);
}

for (const [name, count] of wanted) console.log(await runs[name]!(count, name));
