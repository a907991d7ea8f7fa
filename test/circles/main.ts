/**
 * `node dist/test/circles/main.js quick|real|full`: builds and runs the tasks of the circle, says where the time went,
 * and ends with a line of counts. Exit status: 0 if nothing failed; 1 if something failed, or if something was skipped
 * with VMB_REQUIRE_LAB=1; 2 for wrong arguments.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { show } from './display.js';
import { Execution } from './execution.js';
import { circles, onlyIn } from './plan.js';
import { schedule } from './schedule.js';
import { summary } from './summary.js';

const LOGS = 'build/tests';

async function run(name: keyof typeof circles): Promise<number> {
  const folder = `${LOGS}/${name}`;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const executions = circles[name].map((task) => new Execution(task, `${folder}/${task.name}.log`));
  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    process.once(signal, () => {
      for (const execution of executions) execution.end();
      process.exit(status);
    });
  await show(executions, schedule(executions, availableParallelism()));
  const stretches = executions.flatMap(({ task, stretches }) =>
    stretches.map((each) => ({ part: task.name, ...each })),
  );
  writeFileSync(`${folder}/stretches.json`, JSON.stringify(stretches, null, 1));
  console.log(summary(executions, onlyIn(name)));
  const some = (outcome: string) => executions.some((execution) => execution.outcome === outcome);
  return some('failed') || (process.env.VMB_REQUIRE_LAB === '1' && some('skipped')) ? 1 : 0;
}

const [name] = process.argv.slice(2);
if (name === undefined || !Object.hasOwn(circles, name)) {
  console.error(`usage: node dist/test/circles/main.js ${Object.keys(circles).join('|')}`);
  process.exit(2);
}
process.exitCode = await run(name as keyof typeof circles);
