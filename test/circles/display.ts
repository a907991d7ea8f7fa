/** What is shown while the tasks run: a list that is redrawn on a terminal; elsewhere a line every few seconds. */
import { Listr } from 'listr2';
import type { Execution } from './execution.js';

const LINE_MS = 5000;
const REDRAW_MS = 500;
const WAITING_MS = 100;

const seconds = (execution: Execution) => `${execution.seconds.toFixed(0)} s`;
const isOver = ({ outcome }: Execution) => outcome !== 'waiting' && outcome !== 'running';

/** `12 s`, and for tests their number. */
function resultOf(execution: Execution): string {
  const { outcome, counts, task } = execution;
  if (outcome === 'skipped') return `SKIPPED: ${execution.reasons.at(-1)}`;
  const { passed, failed, skipped } = counts;
  const more = [failed && `${failed} FAILED`, skipped && `${skipped} skipped`].filter((each) => each);
  const tests = task.kind === 'tests' ? [`${passed} passed`, ...more] : more;
  return [seconds(execution), ...tests].join(', ');
}

/** Resolves when `work` has ended. */
export function show(executions: readonly Execution[], work: Promise<void>): Promise<void> {
  // Listr draws one character a line on a terminal that reports no size (findings/listr2-terminal-of-no-width.sh).
  const { isTTY, columns } = process.stdout;
  return isTTY && columns > 0 ? draw(executions, work) : tell(executions, work);
}

async function draw(executions: readonly Execution[], work: Promise<void>): Promise<void> {
  const list = new Listr(
    executions.map((execution) => ({
      title: `${execution.task.what} (waits)`,
      task: async (_context, line) => {
        const redraw = setInterval(() => {
          if (execution.outcome !== 'running') return;
          line.title = execution.task.what;
          line.output = `${seconds(execution)}  ${execution.status}`;
        }, REDRAW_MS);
        await until(() => isOver(execution), work);
        clearInterval(redraw);
        line.title = `${execution.task.what}: ${resultOf(execution)}`;
        if (execution.outcome === 'skipped') line.skip(line.title);
        if (execution.outcome === 'failed') throw new Error(line.title);
      },
    })),
    { concurrent: true, exitOnError: false, rendererOptions: { collapseErrors: false } },
  );
  await list.run();
  await work;
}

/** Resolves when the condition is true, or when `work` has ended. */
async function until(condition: () => boolean, work: Promise<void>): Promise<void> {
  let ended = false;
  const end = () => {
    ended = true;
  };
  work.then(end, end);
  while (!condition() && !ended) await new Promise((resolve) => setTimeout(resolve, WAITING_MS));
}

async function tell(executions: readonly Execution[], work: Promise<void>): Promise<void> {
  const started = performance.now();
  const begun = new Set<Execution>();
  const over = new Set<Execution>();
  const say = (word: string, text: string) =>
    console.log(
      `${((performance.now() - started) / 1000).toFixed(0).padStart(5)} s  ${word.padEnd(7)}  ${text}`,
    );
  const look = () => {
    for (const execution of executions) {
      const { task, outcome } = execution;
      if (outcome === 'running' && !begun.has(execution)) say('begins', task.what);
      if (outcome !== 'waiting') begun.add(execution);
      if (isOver(execution) && !over.has(execution)) {
        over.add(execution);
        say(outcome, `${task.what}: ${resultOf(execution)}`);
      }
    }
  };
  const looking = setInterval(look, WAITING_MS);
  const timer = setInterval(() => {
    for (const execution of executions)
      if (execution.outcome === 'running')
        say('', `${execution.task.name}: ${seconds(execution)}  ${execution.status}`.slice(0, 150));
  }, LINE_MS);
  try {
    await work;
    look();
  } finally {
    clearInterval(looking);
    clearInterval(timer);
  }
}
