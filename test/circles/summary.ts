/** The text at the end: what failed, what was skipped, where the time went, and the line of counts. */
import { readFileSync } from 'node:fs';
import type { Execution, Timed } from './execution.js';
import { type Counts, sum } from './note.js';

const SLOWEST = 10;
/** Lines. Of a longer log only the part from mocha's list of failures on is shown. */
const WHOLE_LOG = 150;

interface Cost {
  readonly what: string;
  readonly seconds: number;
  readonly clock: number;
  readonly cpu: number;
  readonly made: number;
}

export function summary(executions: readonly Execution[], alone: readonly string[]): string {
  const failures = executions.filter(({ outcome }) => outcome === 'failed').flatMap(failure);
  // The demo has no tests.
  if (executions.every(({ task }) => task.kind === 'build')) return failures.join('\n');
  const stretches = executions.flatMap((execution) =>
    execution.stretches.map((stretch) => ({ ...stretch, part: execution.task.name })),
  );
  return [
    ...failures,
    ...table('the ten slowest tests', stretches.map(costOf)),
    ...table('the ten slowest files', byFile(stretches)),
    ...skips(executions),
    ...onlyHere(executions, alone),
    ...parts(executions),
    lastLine(sum(executions.map(({ counts }) => counts))),
  ].join('\n');
}

export function lastLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

function failure({ task, log }: Execution): string[] {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  const failing = lines.findIndex((line) => /^\s+\d+ failing$/.test(line));
  const from = lines.length <= WHOLE_LOG ? 0 : failing >= 0 ? failing : lines.length - WHOLE_LOG;
  return [`\n== FAILED: ${task.what} (all of it: ${log})`, ...lines.slice(from)];
}

const costOf = ({ part, file, what, ...cost }: Timed & { readonly part: string }): Cost => ({
  ...cost,
  what: `${part}${file && ` ${file}`}: ${what}`,
});

function byFile(stretches: readonly (Timed & { readonly part: string })[]): Cost[] {
  const files = new Map<string, Cost>();
  for (const { part, file, seconds, clock, cpu, made } of stretches) {
    const what = `${part} ${file || '(start, loading)'}`;
    const so = files.get(what) ?? { what, seconds: 0, clock: 0, cpu: 0, made: 0 };
    files.set(what, {
      what,
      seconds: so.seconds + seconds,
      clock: so.clock + clock,
      cpu: so.cpu + cpu,
      made: so.made + made,
    });
  }
  return [...files.values()];
}

/**
 * Table of the slowest entries. If the machine's own clock does not skip, own clock minus processors is the time spent
 * waiting.
 */
function table(title: string, costs: readonly Cost[]): string[] {
  const slowest = [...costs].sort((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
  if (slowest.length === 0) return [];
  const row = (...cells: readonly string[]) => cells.map((cell) => cell.padStart(11)).join('');
  const of = ({ seconds, clock, cpu, made, what }: Cost) =>
    `${row(seconds.toFixed(1), clock.toFixed(1), cpu.toFixed(1), `${made}`)}  ${what}`;
  return [`\n== ${title}`, `${row('seconds', 'own clock', 'processors', 'threads')}`, ...slowest.map(of)];
}

/** The name of each skipped task and test, and the reasons that were given. */
function skips(executions: readonly Execution[]): string[] {
  const lines = executions.flatMap(({ outcome, reasons, verdicts, task }) => {
    if (outcome === 'skipped') return [`  ${task.what}: ${reasons.at(-1)}`];
    const tests = verdicts.filter(({ state }) => state === 'skipped');
    return [...new Set(reasons)]
      .map((reason) => `  why: ${reason}`)
      .concat(tests.map(({ title }) => `  ${task.name}: ${title}`));
  });
  return lines.length > 0 ? ['\n== SKIPPED', ...lines] : [];
}

function onlyHere(executions: readonly Execution[], alone: readonly string[]): string[] {
  const lines = executions
    .filter(({ task, outcome }) => alone.includes(task.name) && outcome !== 'skipped')
    .map(({ task, counts }) => `  ${task.what}: ${counts.passed + counts.failed} tests`);
  return lines.length > 0 ? ['\n== ran only in this circle', ...lines] : [];
}

function parts(executions: readonly Execution[]): string[] {
  const of = ({ task, outcome, seconds, counts }: Execution) => {
    const tests = task.kind === 'tests' ? `${counts.passed + counts.failed + counts.skipped} tests` : '';
    return `${outcome.padEnd(8)} ${seconds.toFixed(0).padStart(5)} s  ${tests.padStart(11)}  ${task.what}`;
  };
  return ['\n== result', ...executions.map(of)];
}
