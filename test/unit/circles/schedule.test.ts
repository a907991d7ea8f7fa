/** The tasks of a circle: their order, what becomes of those that cannot run, and what a part must say to have passed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Execution } from '../../circles/execution.js';
import { type Note, SEPARATOR } from '../../circles/note.js';
import { schedule } from '../../circles/schedule.js';
import { summary } from '../../circles/summary.js';
import type { Task } from '../../circles/task.js';

const says = (...notes: readonly Note[]) => notes.map((note) => `${SEPARATOR}${JSON.stringify(note)}`);
const counted = says({ end: { passed: 2, failed: 0, skipped: 1 } });

describe('circles: tasks', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-circle-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  /** Prints the lines, and ends with the status. */
  const task = (name: string, lines: readonly string[], more: Partial<Task> & { status?: number } = {}) => {
    const { status = 0, ...rest } = more;
    const command = ['sh', '-c', 'printf "%s\\n" "$@"; exit $STATUS', 'sh', ...lines];
    const whole: Task = {
      name,
      what: `the ${name}`,
      command,
      env: { STATUS: `${status}` },
      needs: [],
      processors: 1,
      kind: 'tests',
      limitSeconds: 60,
      ...rest,
    };
    return new Execution(whole, join(folder, `${name}.log`));
  };
  const run = async (...executions: readonly Execution[]) => {
    await schedule(executions, 2);
    return executions.map(({ outcome }) => outcome);
  };

  it('tests count what they said; whatever else they say is in the log', async () => {
    const part = task('part', ['something', ...counted, 'tally: 2 passed']);
    assert.deepEqual(await run(part), ['passed']);
    assert.deepEqual(part.counts, { passed: 2, failed: 0, skipped: 1 });
    assert.equal(readFileSync(part.log, 'utf8'), 'something\ntally: 2 passed\n');
  });

  it('a note behind an open line is heard, and half a note is no note', async () => {
    const part = task('part', [`open ${counted[0]}`, `${SEPARATOR}{"end":`]);
    assert.deepEqual(await run(part), ['passed']);
    assert.deepEqual(part.counts, { passed: 2, failed: 0, skipped: 1 });
    assert.equal(readFileSync(part.log, 'utf8'), `open \n${SEPARATOR}{"end":\n`);
  });

  it('a part that ends without a count has failed, and so has one with a status', async () => {
    const [mute, dead] = [task('mute', ['all well']), task('dead', counted, { status: 3 })];
    assert.deepEqual(await run(mute, dead), ['failed', 'failed']);
    assert.equal(mute.counts.failed, 1);
    assert.equal(dead.counts.failed, 1);
  });

  it('a part whose tests failed has failed, whatever its status', async () => {
    const part = task('part', says({ end: { passed: 2, failed: 1, skipped: 0 } }));
    assert.deepEqual(await run(part), ['failed']);
    assert.equal(part.counts.failed, 1);
  });

  it('what needs something that failed is skipped, and says why; so is what needs that', async () => {
    const failed = task('build', [], { kind: 'build', status: 1 });
    const second = task('second', counted, { needs: ['build'] });
    const third = task('third', counted, { needs: ['second'] });
    const free = task('free', counted);
    assert.deepEqual(await run(failed, second, third, free), ['failed', 'skipped', 'skipped', 'passed']);
    assert.match(summary([failed, second, third, free], []), /\n {2}the third: the build: that has failed\n/);
  });

  it('what nobody is to blame for is skipped with its excuse and last words, and all that needs it', async () => {
    const machine = task('machine', ['', 'run it as root'], {
      kind: 'build',
      status: 1,
      excuse: 'no machine',
    });
    const part = task('part', counted, { needs: ['machine'] });
    assert.deepEqual(await run(machine, part), ['skipped', 'skipped']);
    assert.equal(part.reasons[0], 'no machine: run it as root');
    assert.match(summary([machine, part], []), /\n0 passed, 0 failed, 2 skipped$/);
  });

  it('a task waits for what it needs, and no more processors are taken than there are', async () => {
    const log = join(folder, 'order');
    const noted = (name: string, more: Partial<Task>) =>
      task(name, [], {
        command: ['sh', '-c', `echo +${name} >> ${log}; sleep 0.1; echo -${name} >> ${log}`],
        kind: 'build',
        ...more,
      });
    await run(noted('a', {}), noted('b', { needs: ['a'] }), noted('two', { processors: 2 }), noted('c', {}));
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    const at = (line: string) => lines.indexOf(line);
    assert.ok(at('+b') > at('-a'));
    assert.equal(at('-two'), at('+two') + 1, lines.join(' '));
    assert.equal(lines.length, 8);
  });

  it('one that takes too long is ended with all that it started', async () => {
    const started = performance.now();
    const part = task('part', [], { command: ['sh', '-c', 'sleep 60 & sleep 60'], limitSeconds: 0.2 });
    assert.deepEqual(await run(part), ['failed']);
    assert.ok(performance.now() - started < 10_000);
    assert.match(readFileSync(part.log, 'utf8'), /more than 0.2 s/);
  });

  it('a failure is shown with its log, skipped tests by name, and the last line counts', async () => {
    const verdict = { file: 'a.js', title: 'is skipped', state: 'skipped' } as const;
    const counts = { passed: 3, failed: 1, skipped: 1 };
    const part = task(
      'part',
      ['SKIPPED: no such driver', ...says({ verdict }, { end: counts }), 'what happened'],
      { status: 1 },
    );
    await run(part);
    const said = summary([part], ['part']);
    for (const line of [
      'what happened',
      '  why: no such driver',
      '  part: is skipped',
      '  the part: 4 tests',
    ])
      assert.ok(said.split('\n').includes(line), line);
    assert.match(said, /\n3 passed, 1 failed, 1 skipped$/);
  });

  it('the ten slowest are named, by what they were and by their files', async () => {
    const stretch = (what: string) => ({ file: 'a.js', what, clock: 1, cpu: 0.5, made: 3 });
    const part = task('part', [
      ...says({ stretch: stretch('one') }, { stretch: stretch('two') }),
      ...counted,
    ]);
    await run(part);
    const said = summary([part], []);
    assert.match(said, / +1\.0 +0\.5 +3 {2}part a\.js: two\n/);
    assert.match(said, / +2\.0 +1\.0 +6 {2}part a\.js\n/);
  });
});
