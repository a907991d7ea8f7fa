/**
 * How many system calls a back-end makes for a command or a frame, counted by strace. Two guests of different length are
 * traced, and the difference is divided: the start and the end of a guest cancel out.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { until } from '../support/until.js';
import type { BackEnd } from './back-end.js';
import { guest, type Manner } from './lat.js';
import { Launched } from './launched.js';

export const canCount = () => spawnSync('strace', ['-V']).status === 0;

/** The number of calls in a table of `strace -c`: its columns are time, seconds, usecs/call, calls, errors, name. */
export function callsIn(table: string): number {
  const rows = table.split('\n').map((line) => line.trim().split(/\s+/));
  return rows
    .filter(([time, , , calls]) => Number(time) >= 0 && Number(calls) > 0)
    .filter((row) => row.at(-1) !== 'total')
    .reduce((sum, row) => sum + Number(row[3]), 0);
}

interface Counted {
  readonly calls: number;
  readonly operations: number;
}

async function trace(backEnd: BackEnd, manner: Manner, phase: string, count: number): Promise<Counted> {
  const file = backEnd.device.file('strace');
  const command = ['strace', '-f', '-c', '-o', file, '-p', `${backEnd.process.pid}`];
  const tracer = new Launched({ command });
  try {
    const attached = () => /attached/.test(tracer.errors) || tracer.end !== undefined;
    await until(attached, 'strace to attach', 10_000);
    if (tracer.end) await backEnd.fail(`cannot be traced: ${tracer.errors}`);
    const lines = await guest(backEnd, manner, [`${phase}=${count}`]);
    const value = (key: string) => lines.find((line) => line.phase === phase && line.key === key)?.value ?? 0;
    tracer.kill('SIGINT');
    await tracer.ended;
    const operations = value('operations');
    // The calls that the fake node makes for itself are no part of the back-end.
    return { calls: callsIn(readFileSync(file, 'utf8')) - value('node.own') * operations, operations };
  } finally {
    await tracer.stop();
  }
}

/** `phase` is one of lat's. `start` starts a back-end for each guest, because a peer may end with its guest. */
export async function callsOf(
  start: () => Promise<BackEnd>,
  manner: Manner,
  phase: string,
  count: number,
): Promise<number> {
  const counted: Counted[] = [];
  for (const each of [count, 3 * count]) {
    const backEnd = await start();
    try {
      counted.push(await trace(backEnd, manner, phase, each));
    } finally {
      await backEnd.stop();
    }
  }
  const [few, many] = counted as [Counted, Counted];
  return (many.calls - few.calls) / (many.operations - few.operations);
}
