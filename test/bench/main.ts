/**
 * `npm run bench`: what the bridge costs beside the floor of the machine, the node itself, and a peer if there is one.
 * docs/performance.md says what is measured and how to read it. Exit status: 1 if something could not be measured, 2 if
 * the options or the machine do not allow it.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { BenchError } from './back-end.js';
import { Bench, load, subjectsOf } from './bench.js';
import { FakeDevice } from './fake-device.js';
import { figureOf, rows } from './figures.js';
import { growthTables } from './growth.js';
import { endTogether } from './launched.js';
import { type Cores, type Options, optionsOf, UsageError, usage } from './options.js';
import { buildParts } from './parts.js';
import { available } from './processors.js';
import { type Samples, spreadOf } from './samples.js';
import { tableOf, threadTableOf } from './table.js';

const tell = (line: string) => console.error(line);

/** Throws a UsageError if this machine does not allow it. */
function prepare(options: Options): FakeDevice {
  if (process.getuid?.() !== 0)
    throw new UsageError('it needs root: for a mount name space and a device file of its own');
  const missing = options.cores.find((each) => each > available);
  if (missing !== undefined)
    throw new UsageError(`--cores ${missing}: this process may use ${available} processor only`);
  buildParts();
  return new FakeDevice();
}

/** Everything that was found, and how the rows of the table come out of it. */
function report(samples: Samples, options: Options, loads: readonly string[]) {
  const figures = options.cores.flatMap((cores) =>
    rows.flatMap((row) =>
      samples.subjects(cores).flatMap((subject) => {
        const figure = figureOf(samples, cores, row, subject);
        return figure ? [{ cores, row: row.name, unit: row.unit, subject, ...figure }] : [];
      }),
    ),
  );
  const machine = { kernel: release(), node: process.version, processor: cpus()[0]?.model };
  return { date: new Date().toISOString(), ...machine, loads, options, figures, samples: samples.all };
}

/** The line below a table: what a second thread would add to the floor. */
function laneLine(samples: Samples, cores: Cores): string {
  const [p50, cpu] = ['p50', 'cpu'].map((key) =>
    spreadOf([...samples.values(cores, { subject: 'lane hop', phase: 'hop-lane', key }).values()]),
  );
  const us = (value: number | undefined) => value?.toFixed(1) ?? '-';
  return `A hop through a second thread: p50 ${us(p50?.median)} us, CPU ${us(cpu?.median)} us.`;
}

/** Sentences about frames that did not show what the node had written. */
function complaints(samples: Samples): string[] {
  return samples.all
    .filter(({ key, value }) => key === 'wrong' && value > 0)
    .map(({ subject, phase, value }) => `${subject}: ${value} frames of ${phase} had the wrong content`);
}

async function bench(options: Options): Promise<void> {
  const device = prepare(options);
  if (options.growth) return console.log(await growthTables(device, options, tell));
  const before = load();
  const samples = await new Bench(options, device, tell).run();
  for (const cores of options.cores) {
    const texts = [tableOf, threadTableOf, laneLine].map((part) => part(samples, cores));
    for (const text of texts) if (text !== '') console.log(`${text}\n`);
  }
  console.log(
    `Measured: ${subjectsOf(options)
      .map(({ name }) => name)
      .join(', ')}; runs: ${options.runs}.`,
  );
  console.log(`Load before and after: ${before}, ${load()}.`);
  if (options.json !== undefined)
    writeFileSync(options.json, `${JSON.stringify(report(samples, options, [before, load()]), null, 1)}\n`);
  const wrong = complaints(samples);
  if (wrong.length > 0) throw new BenchError(wrong.join('\n'));
}

async function main(): Promise<number> {
  endTogether();
  try {
    const options = optionsOf(process.argv.slice(2));
    if (options) await bench(options);
    else console.log(usage);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof BenchError)) throw error;
    tell(`bench: ${error.message}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

process.exit(await main());
