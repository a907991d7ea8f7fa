/** The measuring program: on the floors, on the node itself, or as the guest of a back-end. */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BackEnd, BenchError } from './back-end.js';
import type { FakeDevice } from './fake-device.js';
import { type Launch, Launched } from './launched.js';
import type { Vmm } from './options.js';
import { parts } from './parts.js';

const MOST_MS = 180_000;
/** What lat has to end by itself after its back-end has ended. */
const GRACE_MS = 2000;
/**
 * The guest's RAM, in MiB. The library takes other pages of it for each command, and a guest's driver takes the same few again
 * and again: every page was touched when the warm-up is over, so that page faults are not what is measured.
 */
const RAM = '12';

/** A line of lat's output. */
export interface Line {
  readonly phase: string;
  readonly key: string;
  readonly value: number;
}

function linesOf(output: string): Line[] {
  const lines = output.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [phase, key, value] = line.split('\t') as [string, string, string];
    return { phase, key, value: Number(value) };
  });
}

async function run(launch: Launch, backEnd?: BackEnd): Promise<Line[]> {
  const lat = new Launched(launch);
  const late = new AbortController();
  const limit = sleep(MOST_MS, 'late', { signal: late.signal }).catch(() => 'over');
  const orphaned = backEnd?.process.ended.then(() => sleep(GRACE_MS, 'orphaned', { ref: false }));
  const how = await Promise.race([lat.ended, limit, orphaned ?? limit]);
  late.abort();
  await lat.stop();
  if (lat.end === 'exit status 0') return linesOf(lat.output);
  const reason = how === 'late' ? `did not end within ${MOST_MS / 1000} s.` : `ended (${lat.end}).`;
  const what = `${reason} ${lat.lastWords('It')}`;
  if (!backEnd) throw new BenchError(`lat ${what}`);
  return backEnd.fail(`cannot be measured, because its guest ${what}`);
}

/** What a hand-over costs on this machine, now. */
export const floorsOn = (processors: string, count: number) =>
  run({ command: [parts.lat, '-', `hop=${count}`, `hop-lane=${count}`], processors });

/** The node itself, without a guest. */
export function native(device: FakeDevice, processors: string, phases: readonly string[]): Promise<Line[]> {
  const counters = device.file('native-counters');
  rmSync(counters, { force: true });
  return run({
    command: [parts.lat, device.path, ...phases],
    processors,
    preload: parts.fakeNode,
    env: { FAKE_NODE: device.path, FAKE_COUNTERS: counters, BENCH_COUNTERS: counters },
  });
}

/** How test/preload plays the VMM. */
export interface Manner {
  readonly vmm: Vmm;
  /** VMB_PRELOAD_RAM; absent: RAM. */
  readonly ram?: string;
  /** VMB_PRELOAD_ECHO; absent: true. */
  readonly echo?: boolean;
}

export function guest(backEnd: BackEnd, manner: Manner, phases: readonly string[]): Promise<Line[]> {
  const { device, processors, process, socket, counters } = backEnd;
  const command = [parts.lat, device.path, ...phases];
  const env = {
    VMB_PRELOAD: `${device.path}=${socket}`,
    VMB_PRELOAD_VMM: manner.vmm,
    VMB_PRELOAD_RAM: manner.ram ?? RAM,
    VMB_PRELOAD_ECHO: manner.echo === false ? '0' : '1',
    BENCH_PID: `${process.pid}`,
    BENCH_COUNTERS: counters,
  };
  return run({ command, processors, preload: parts.guest, env }, backEnd);
}
