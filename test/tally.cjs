/**
 * mocha's spec reporter. At the end it prints one line that a script can add up: `tally: 3 passed, 0 failed, 1
 * skipped`. With VMB_NOTES=1 it also prints notes while it runs: which test runs and how much time it took. circles/
 * reads them; circles/note.ts describes the format.
 */
const { readFileSync } = require('node:fs');
const { relative } = require('node:path');
const { performance } = require('node:perf_hooks');
const { reporters } = require('mocha');

const TICKS_A_SECOND = 100;

/**
 * Seconds since start (`clock`), processor seconds of the whole machine (`cpu`), and processes and threads created
 * since boot (`made`).
 */
function machine() {
  const lines = readFileSync('/proc/stat', 'latin1').split('\n');
  const [user, nice, system, , , interrupts, soft] = lines[0].trim().split(/\s+/).slice(1).map(Number);
  const made = Number(lines.find((line) => line.startsWith('processes '))?.slice('processes '.length));
  return { clock: performance.now() / 1000, cpu: (user + nice + system + interrupts + soft) / TICKS_A_SECOND, made };
}

const tell = (note) => process.stdout.write(`\x1e${JSON.stringify(note)}\n`);
const fileOf = (runnable) => relative('dist/test', runnable.file ?? runnable.parent?.file ?? '');

module.exports = class Tally extends reporters.Spec {
  /** The test or hook that the time is counted for now. A test's own hooks count for the test. */
  #on = { file: '', what: 'start of mocha, loading of tests' };
  #since = { clock: 0, cpu: machine().cpu, made: machine().made };

  constructor(runner, options) {
    super(runner, options);
    if (process.env.VMB_NOTES === '1') this.#tell(runner);
    runner.once('end', () => {
      const { passes: passed, failures: failed, pending: skipped } = this.stats;
      console.log(`tally: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    });
  }

  #tell(runner) {
    const verdict = (state) => (test) => tell({ verdict: { file: fileOf(test), title: test.fullTitle(), state } });
    runner.once('start', () => tell({ total: runner.total }));
    runner.on('test', (test) => this.#turn(fileOf(test), test.fullTitle()));
    runner.on('hook', (hook) => {
      const [, when] = /^"(before|after) all" hook/.exec(hook.title) ?? [];
      if (when) this.#turn(fileOf(hook), `${when} all of "${hook.parent.fullTitle()}"`);
    });
    runner.on('pass', verdict('passed')).on('fail', verdict('failed')).on('pending', verdict('skipped'));
    runner.once('end', () => {
      this.#turn('', '');
      const { passes: passed, failures: failed, pending: skipped } = this.stats;
      tell({ end: { passed, failed, skipped } });
    });
  }

  #turn(file, what) {
    const now = machine();
    const [clock, cpu, made] = ['clock', 'cpu', 'made'].map((each) => now[each] - this.#since[each]);
    tell({ stretch: { ...this.#on, clock, cpu, made } });
    this.#on = { file, what };
    this.#since = now;
    if (what) tell({ now: what });
  }
};
