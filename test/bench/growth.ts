/** How the cost of a command grows with the sessions that are open, and with the guest's memory. Ours alone, as QEMU has it. */
import { BackEnd, residentOf } from './back-end.js';
import { load, serve } from './bench.js';
import type { FakeDevice } from './fake-device.js';
import { floorsOn, guest, type Line } from './lat.js';
import type { Cores, Options } from './options.js';
import { processorsFor } from './processors.js';
import { type Spread, spreadOf } from './samples.js';
import { cell, textTable } from './table.js';

/** MiB of the guest's RAM that commands use, whatever its size. */
const USED = 12;

interface Step {
  readonly name: string;
  readonly files: number;
  readonly ram: string;
}

const sessions: readonly Step[] = [1, 4, 16, 64].map((count) => ({
  name: count === 1 ? '1 session' : `${count} sessions`,
  files: count - 1,
  ram: `${USED}`,
}));
const memory: readonly Step[] = [2, 16, 64, 256].map((gibibytes) => ({
  name: `${gibibytes} GiB`,
  files: 0,
  ram: `${gibibytes * 1024},${USED}`,
}));

const columns = [
  { name: 'connection and first OPEN, us', key: 'open first', digits: 0 },
  { name: 'G_INPUT p50, us', key: 'G_INPUT p50', digits: 1 },
  { name: 'G_INPUT CPU, us', key: 'G_INPUT cpu', digits: 1 },
  { name: 'resident after, MiB', key: 'resident after', digits: 1 },
  { name: 'hop p50, us', key: 'hop p50', digits: 1 },
] as const;

/** Values by `PHASE KEY`. */
type Found = ReadonlyMap<string, number>;

async function measure(device: FakeDevice, processors: string, step: Step, count: number): Promise<Found> {
  const lines: Line[] = await floorsOn(processors, count);
  const backEnd = await BackEnd.start('ours qemu', device, processors, serve);
  try {
    const files = step.files > 0 ? [`files=${step.files}`] : [];
    const phases = [...files, `warm=${count}`, `G_INPUT=${count}`];
    lines.push(...(await guest(backEnd, { vmm: 'qemu', ram: step.ram }, phases)));
    lines.push({ phase: 'resident', key: 'after', value: residentOf(backEnd.process.pid) });
  } finally {
    await backEnd.stop();
  }
  return new Map(lines.map(({ phase, key, value }) => [`${phase} ${key}`, value]));
}

function line(name: string, found: readonly Found[]): string[] {
  const of = (key: string): Spread | undefined => spreadOf(found.flatMap((each) => each.get(key) ?? []));
  const cells = columns.map(({ key, digits }) => {
    const value = of(key);
    return cell(value && { value, ratio: undefined }, digits);
  });
  return [name, ...cells];
}

async function table(
  title: string,
  steps: readonly Step[],
  once: (step: Step) => Promise<Found>,
  runs: number,
): Promise<string> {
  const found = new Map<Step, Found[]>(steps.map((step) => [step, []]));
  for (let run = 0; run < runs; run++) for (const step of steps) found.get(step)!.push(await once(step));
  const body = steps.map((step) => line(step.name, found.get(step)!));
  return textTable([[title, ...columns.map(({ name }) => name)], ...body]);
}

/** Tables for each number of processors. Throws a BenchError. */
export async function growthTables(
  device: FakeDevice,
  { cores, runs, quick }: Options,
  tell: (line: string) => void,
): Promise<string> {
  const tables: string[] = [];
  for (const each of cores as readonly Cores[]) {
    const once = (step: Step) => measure(device, processorsFor(each), step, quick ? 60 : 8000);
    const where = each === 1 ? 'one core' : 'two cores';
    tables.push(await table(`${where}, sessions`, sessions, once, runs));
    tables.push(await table(`${where}, memory`, memory, once, runs));
    tell(`${where}: load ${load()}`);
  }
  return tables.join('\n\n');
}
