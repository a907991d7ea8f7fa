/** Runs tasks beside each other: each as soon as what it needs is there and as many processors are free as it keeps busy. */
import type { Execution } from './execution.js';

/** Rejects where a program is missing; never because a task fails. */
export async function schedule(executions: readonly Execution[], processors: number): Promise<void> {
  const running = new Set<Promise<void>>();
  let free = processors;
  const begin = (execution: Execution): void => {
    const taken = Math.min(execution.task.processors, processors);
    free -= taken;
    const run = execution.run().finally(() => {
      free += taken;
      running.delete(run);
    });
    running.add(run);
  };
  for (;;) {
    while (executions.some((execution) => execution.outcome === 'waiting' && settle(execution, executions)));
    // The plan's order is the order of importance: a task that waits for two processors keeps none from those behind it.
    for (const execution of executions)
      if (isReady(execution, executions) && Math.min(execution.task.processors, processors) <= free)
        begin(execution);
    if (running.size === 0) return;
    await Promise.race(running);
  }
}

const needed = ({ task }: Execution, executions: readonly Execution[]) =>
  executions.filter((other) => task.needs.includes(other.task.name));

function isReady(execution: Execution, executions: readonly Execution[]): boolean {
  return (
    execution.outcome === 'waiting' &&
    needed(execution, executions).every(({ outcome }) => outcome === 'passed')
  );
}

/** Skips what waits for something that will not come. True: it has. */
function settle(execution: Execution, executions: readonly Execution[]): boolean {
  const lost = needed(execution, executions).find(
    ({ outcome }) => outcome === 'failed' || outcome === 'skipped',
  );
  if (!lost) return false;
  execution.skip(lost.reasons[0] ?? `${lost.task.what}: that has failed`);
  return true;
}
