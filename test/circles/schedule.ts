/**
 * Runs tasks side by side. A task starts when the tasks that it needs have passed and as many processors are free as it
 * keeps busy.
 */
import type { Execution } from './execution.js';

/** Rejects if a program does not exist; never because a task fails. */
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
    // The plan lists important tasks first. A task that waits for two processors does not stop the tasks behind it.
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

/** Skips the task if a task that it needs has failed or was skipped. Returns whether it was skipped. */
function settle(execution: Execution, executions: readonly Execution[]): boolean {
  const lost = needed(execution, executions).find(
    ({ outcome }) => outcome === 'failed' || outcome === 'skipped',
  );
  if (!lost) return false;
  execution.skip(lost.reasons[0] ?? `${lost.task.what}: that has failed`);
  return true;
}
