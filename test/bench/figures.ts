/** The rows of the tables: each figure as a value, and as a ratio to the floor of the same run. */
import type { Cores } from './options.js';
import { type Place, type Samples, type Spread, spreadOf } from './samples.js';

export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly digits: number;
  readonly phase: string;
  readonly key: string;
  /** What the ratio is to. Absent: there is no ratio. */
  readonly floor?: Place;
  /** More is better: the ratio is that of the floor to the value. */
  readonly inverse?: true;
}

const hop = (key: string): Place => ({ subject: 'hop', phase: 'hop', key });
const idle = (key: string): Place => ({ subject: 'node -e', phase: 'process', key });

export const rows: readonly Row[] = [
  { name: 'G_INPUT, p50', unit: 'us', digits: 1, phase: 'G_INPUT', key: 'p50', floor: hop('p50') },
  { name: 'G_INPUT, p99.9', unit: 'us', digits: 0, phase: 'G_INPUT', key: 'p99.9', floor: hop('p99.9') },
  { name: 'G_INPUT, CPU', unit: 'us', digits: 1, phase: 'G_INPUT', key: 'cpu', floor: hop('cpu') },
  { name: 'EXT_CTRLS, p50', unit: 'us', digits: 1, phase: 'EXT_CTRLS', key: 'p50', floor: hop('p50') },
  { name: 'every 2 ms, p50', unit: 'us', digits: 1, phase: 'paced', key: 'p50', floor: hop('p50') },
  { name: 'every 2 ms, CPU', unit: 'us', digits: 1, phase: 'paced', key: 'cpu', floor: hop('cpu') },
  { name: '120 fps, CPU a frame', unit: 'us', digits: 1, phase: 'rate120', key: 'cpu', floor: hop('cpu') },
  { name: 'full speed, CPU a frame', unit: 'us', digits: 1, phase: 'stream', key: 'cpu', floor: hop('cpu') },
  {
    ...{ name: 'full speed, frames', unit: '1/s', digits: 0, phase: 'stream', key: 'rate' },
    ...{ floor: hop('rate'), inverse: true },
  },
  { name: 'system calls a command', unit: '', digits: 1, phase: 'calls', key: 'G_INPUT' },
  { name: 'system calls a frame, 120 fps', unit: '', digits: 1, phase: 'calls', key: 'rate120' },
  { name: 'system calls a frame, full speed', unit: '', digits: 1, phase: 'calls', key: 'stream' },
  { name: 'until it listens', unit: 'ms', digits: 0, phase: 'process', key: 'start', floor: idle('start') },
  {
    ...{ name: 'resident, idle', unit: 'MiB', digits: 1, phase: 'process', key: 'resident' },
    ...{ floor: idle('resident') },
  },
];

/** The subjects that have no column of their own. */
export const floors = ['hop', 'lane hop', 'node -e'];

export interface Figure {
  readonly value: Spread;
  readonly ratio: Spread | undefined;
}

/** `undefined`: nobody measured it. A ratio is made in each run, then the median of the ratios is taken. */
export function figureOf(samples: Samples, cores: Cores, row: Row, subject: string): Figure | undefined {
  const values = samples.values(cores, { subject, phase: row.phase, key: row.key });
  const value = spreadOf([...values.values()]);
  const floor = row.floor && samples.values(cores, row.floor);
  const ratios = [...values].flatMap(([run, each]) => {
    const base = floor?.get(run);
    if (base === undefined || base === 0 || each === 0) return [];
    return [row.inverse ? base / each : each / base];
  });
  return value && { value, ratio: spreadOf(ratios) };
}

/** The floor of a row, as the column of its own. */
export function floorOf(samples: Samples, cores: Cores, row: Row): Figure | undefined {
  const value = row.floor && spreadOf([...samples.values(cores, row.floor).values()]);
  return value && { value, ratio: undefined };
}
