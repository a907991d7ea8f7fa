/** The bench itself, with small counts: it must measure everything, name what went wrong, and leave nothing behind. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../support/until.js';
import { type Figure, rows } from './figures.js';
import { requireParts } from './requirements.js';
import type { Sample } from './samples.js';
import { canCount } from './system-calls.js';

const program = fileURLToPath(new URL('main.js', import.meta.url));
/** A peer that answers nobody and ends as soon as a guest comes. */
const DESERTER = `
  const server = require('node:net').createServer(() => process.exit(7));
  server.listen(process.argv[1]);`;

interface Report {
  readonly figures: readonly (Figure & { row: string; subject: string })[];
  readonly samples: readonly Sample[];
}

/** By the code 3 and 7. What the process does for itself, and what goes through the loop, comes on top. */
const MOST_CALLS = { 'system calls a command': 5, 'system calls a frame, 120 fps': 12 };

describe('bench', function () {
  this.timeout(120_000);
  let folder: string;

  before(function () {
    requireParts(this);
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-bench-test-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const env = () => ({ ...process.env, TMPDIR: folder });
  const bench = (...options: readonly string[]) =>
    spawnSync(process.execPath, [program, '--quick', '--cores', '1', ...options], {
      encoding: 'utf8',
      env: env(),
    });

  /** Processes whose command line names the folder in which all benches of this test work. */
  const processes = () =>
    readdirSync('/proc').filter((each) => {
      try {
        return /^\d+$/.test(each) && readFileSync(`/proc/${each}/cmdline`, 'utf8').includes(folder);
      } catch {
        return false;
      }
    });
  const assertNothingIsLeft = () => {
    assert.deepEqual(processes(), []);
    assert.deepEqual(
      readdirSync(folder).filter((each) => !each.endsWith('.json')),
      [],
    );
  };

  it('measures every row for ours with both VMMs, and no frame has the wrong content', () => {
    const json = join(folder, 'report.json');
    const { status, stdout, stderr } = bench('--json', json);
    assert.equal(status, 0, stderr);
    const { figures, samples } = JSON.parse(readFileSync(json, 'utf8')) as Report;
    const expected = rows.filter((row) => canCount() || row.phase !== 'calls').map(({ name }) => name);
    const measured = (subject: string) => figures.filter((each) => each.subject === subject);
    assert.deepEqual(
      measured('ours qemu').map(({ row }) => row),
      expected,
    );
    assert.deepEqual(
      measured('ours crosvm').map(({ row }) => row),
      expected.filter((name) => !name.startsWith('system calls')),
    );
    for (const { row, value } of figures) assert.ok(value.median > 0, row);
    // A number of calls is no time: it depends on who meets whom, but hardly on the machine.
    for (const [row, most] of Object.entries(MOST_CALLS)) {
      const counted = measured('ours qemu').find((each) => each.row === row);
      assert.ok(!canCount() || counted!.value.median <= most, `${row}: ${counted?.value.median}`);
    }
    for (const { row, ratio } of measured('ours qemu'))
      assert.equal(ratio !== undefined, !row.startsWith('system calls'), row);
    const wrong = samples.filter(({ key }) => key === 'wrong');
    assert.ok(wrong.length > 0);
    assert.ok(wrong.every(({ value }) => value === 0));
    for (const name of expected) assert.ok(stdout.includes(`| ${name}`), name);
    assertNothingIsLeft();
  });

  it('names a peer that ends before it listens', () => {
    const { status, stderr } = bench(
      '--vmm',
      'qemu',
      '--peer',
      "sh -c 'echo no such camera; exit 3' @SOCKET@",
    );
    assert.equal(status, 1);
    assert.match(
      stderr,
      /bench: peer ended \(exit status 3\) before it listened\.\n.*printed:\n {2}no such camera/,
    );
    assertNothingIsLeft();
  });

  it('names a peer that ends while a guest is measured', () => {
    const options = ['--vmm', 'qemu', '--phases', 'G_INPUT=10', '--peer-name', 'deserter'];
    const { status, stderr } = bench(...options, '--peer', `node -e "${DESERTER}" @SOCKET@`);
    assert.equal(status, 1);
    assert.match(stderr, /bench: deserter qemu cannot be measured, because its guest ended/);
    assertNothingIsLeft();
  });

  it('refuses what it does not know with exit status 2', () => {
    const { status, stderr } = bench('--bogus');
    assert.equal(status, 2);
    assert.match(stderr, /^bench: Unknown option '--bogus'/);
    assertNothingIsLeft();
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const)
    it(`leaves no process behind if it is ended by ${signal}`, async () => {
      const child = spawn(process.execPath, [program, '--phases', 'paced=100000'], {
        env: env(),
        stdio: 'ignore',
      });
      await until(() => processes().length > 0, 'the bench to start a process', 60_000);
      child.kill(signal);
      await until(() => processes().length === 0, 'its processes to end', 10_000);
      if (signal === 'SIGTERM') await until(() => readdirSync(folder).length === 0, 'its folder to go');
    });
});
