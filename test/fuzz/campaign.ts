/** Runs workers over the fuzzers and gives a command that replays each finding, also if the worker died of it. */

import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { ForeignDescriptors } from './foreign-descriptors.js';
import { fuzzers } from './fuzzers.js';
import type { Order, Report } from './worker.js';

const program = fileURLToPath(new URL('worker.js', import.meta.url));
const sanitizer = fileURLToPath(new URL('../../../test/sanitize.sh', import.meta.url));
/** A worker that has sent nothing for this long hangs. */
const SILENCE_MS = 120_000;

export interface Campaign {
  readonly seed: number;
  readonly operations: number;
  /** Name of one fuzzer. Absent: all fuzzers, each with its share. */
  readonly only?: string;
  readonly device?: string;
  readonly sanitize?: boolean;
  readonly foreign: ForeignDescriptors;
  readonly onProgress?: (fuzzer: string, done: number, of: number) => void;
}

export interface Finding {
  readonly fuzzer: string;
  readonly what: string;
  /** The command line that repeats the finding. */
  readonly replay: string;
}

export interface Result {
  /** Number of operations that were carried out without a finding. */
  readonly operations: number;
  readonly findings: readonly Finding[];
}

/** Runs each fuzzer's part, as many side by side as there are processors. */
export async function run(campaign: Campaign): Promise<Result> {
  const { only, operations } = campaign;
  const chosen = fuzzers.filter(({ name }) => only === undefined || name === only);
  const shares = chosen.reduce((sum, { share }) => sum + share, 0);
  const parts = chosen.map(({ name, share }) => ({
    name,
    operations: Math.ceil((operations * share) / shares),
  }));
  const results: Result[] = [];
  const next = async (): Promise<void> => {
    for (let part = parts.shift(); part; part = parts.shift())
      results.push(await runWorker(campaign, part.name, part.operations));
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), parts.length) }, next));
  return {
    operations: results.reduce((sum, each) => sum + each.operations, 0),
    findings: results.flatMap(({ findings }) => findings),
  };
}

/** How a worker ended. */
interface Attempt {
  readonly done: number;
  /** Seed of the run that the worker was in. */
  readonly seed: number;
  readonly operations: number;
  /** null: nothing was found. `isDeath`: the worker died, so it could not say which operation it was. */
  readonly finding: { readonly what: string; readonly operation: number; readonly isDeath: boolean } | null;
}

async function runWorker(campaign: Campaign, fuzzer: string, operations: number): Promise<Result> {
  const { done, seed, finding, ...run } = await attempt(campaign, fuzzer, campaign.seed, operations);
  if (!finding) return { operations: done, findings: [] };
  // If a run ended early, only the operations up to that point are needed.
  const needed = finding.isDeath
    ? await fewest(campaign, fuzzer, seed, run.operations)
    : Math.min(run.operations, finding.operation + 1);
  const replay = commandLine(campaign, fuzzer, seed, needed);
  return { operations: done, findings: [{ fuzzer, what: finding.what, replay }] };
}

/**
 * Number of operations of the shortest run of this seed in which a worker dies; `operations` if it does not die every
 * time.
 */
async function fewest(campaign: Campaign, fuzzer: string, seed: number, operations: number): Promise<number> {
  const { onProgress: _, ...silent } = campaign;
  const dies = async (count: number) => (await attempt(silent, fuzzer, seed, count)).finding !== null;
  let [least, most] = [1, operations];
  while (least < most) {
    const middle = (least + most) >> 1;
    if (await dies(middle)) most = middle;
    else least = middle + 1;
  }
  return (await dies(most)) ? most : operations;
}

async function attempt(
  campaign: Campaign,
  fuzzer: string,
  seed: number,
  operations: number,
): Promise<Attempt> {
  const worker = start({ fuzzer, seed, operations }, campaign);
  let done = 0;
  let now = { seed, operations };
  let found: { operation: number; what: string } | null = null;
  let words = '';
  let isSilent = false;
  const alarm = setTimeout(() => {
    isSilent = true;
    worker.kill('SIGABRT');
  }, SILENCE_MS);
  worker.stderr!.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-16_000);
  });
  worker.on('message', (report: Report) => {
    alarm.refresh();
    if (report.kind === 'run') now = { seed: report.seed, operations: report.operations };
    else if (report.kind === 'finding') found = report;
    else {
      done += report.operations;
      campaign.onProgress?.(fuzzer, done, operations);
    }
  });
  const end = await new Promise<string>((resolve) => {
    worker.on('close', (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  clearTimeout(alarm);
  const told = found as { operation: number; what: string } | null;
  const isDeath = !told && (end !== 'exit code 0' || done < operations);
  const what = isSilent ? `nothing was heard for ${SILENCE_MS} ms` : `the process ended: ${end}`;
  const finding = told ?? (isDeath ? { operation: now.operations, what: `${what}\n${words}` } : null);
  return { ...now, done, finding: finding && { ...finding, isDeath: isDeath && !isSilent } };
}

function start(part: Pick<Order, 'fuzzer' | 'seed' | 'operations'>, campaign: Campaign): ChildProcess {
  const { sanitize, foreign, device } = campaign;
  const numbers = foreign.all.map((_, at) => 3 + at);
  const order: Order = { ...part, foreign: numbers, ...(device !== undefined && { device }) };
  const command = [process.execPath, '--enable-source-maps', program, JSON.stringify(order)];
  const [file, ...words] = sanitize ? ['bash', sanitizer, ...command] : command;
  return spawn(file!, words, { stdio: ['ignore', 'inherit', 'pipe', ...foreign.all, 'ipc'] });
}

function commandLine(
  { device, sanitize }: Campaign,
  fuzzer: string,
  seed: number,
  operations: number,
): string {
  const more = [...(device === undefined ? [] : ['--device', device]), ...(sanitize ? ['--sanitize'] : [])];
  return ['npm run fuzz -- --seed', seed, '--operations', operations, '--only', fuzzer, ...more].join(' ');
}
