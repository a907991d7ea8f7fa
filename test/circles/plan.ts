/** What each circle does: tables. The README names the circles, docs/contributing.md says what each takes. */
import type { Task } from './task.js';

type More = Partial<Omit<Task, 'name' | 'what' | 'command'>>;

const task = (name: string, what: string, command: readonly string[], more: More = {}): Task => ({
  name,
  what,
  command,
  needs: [],
  processors: 1,
  kind: 'tests',
  limitSeconds: 600,
  ...more,
});

const build = (name: string, what: string, command: readonly string[], more: More = {}): Task =>
  task(name, what, command, { kind: 'build', ...more });

const mocha = (...files: readonly string[]) => [
  process.execPath,
  'node_modules/mocha/bin/mocha.js',
  '--reporter',
  'test/tally.cjs',
  ...files,
];
const sanitized = (...command: readonly string[]) => ['test/sanitize.sh', ...command];

/** A machine with V4L2 devices that runs these folders and files of tests. */
const machine = (options: readonly string[], ...suites: readonly string[]) => [
  'test/lab/run.sh',
  ...['--timeout', '3000', '--env', 'VMB_NOTES=1'],
  ...options,
  ...['--', '/checkout/test/lab/guest/suite.sh'],
  ...suites,
];
const leaping = (...suites: readonly string[]) => machine(['--leap'], ...suites);
const emulated = (...suites: readonly string[]) => machine([], ...suites);

const UNIT = ['dist/test/unit/**/*.test.js', 'dist/test/*.test.js'];
const ADDON = 'dist/test/addon/**/*.test.js';
const FUZZ = 'dist/test/fuzz/fuzz.test.js';
const NO_LAB = 'the machine with V4L2 devices could not be made';

/** What `npm run demo` needs. */
const demo: readonly Task[] = [
  build('build', 'the addon is built', ['npm', 'run', '--silent', 'build:addon']),
  build('lab', 'the machine is built', ['demo/lab.sh'], { needs: ['build'] }),
];

/** What a save wants to know. */
const quick: readonly Task[] = [
  build('build', 'the addon is built', ['npm', 'run', '--silent', 'build:addon'], { processors: 2 }),
  task('unit', 'unit: logic and the command line', mocha(...UNIT), { needs: ['build'] }),
  task('addon', 'addon: the native surface', mocha(ADDON), { needs: ['build'] }),
  task('lint', 'lint', ['npm', 'run', '--silent', 'lint'], { kind: 'check' }),
];

/** Made once for each state of their sources. */
const parts: readonly Task[] = [
  build('lab', 'the lab is built', ['test/lab/build.sh'], { excuse: NO_LAB }),
  build('kernel', 'its kernel as a program is built', ['test/lab/um/build.sh'], {
    needs: ['lab'],
    processors: 2,
    excuse: NO_LAB,
  }),
  build('programs', 'the USB camera and the guest driver of programs are built', ['test/lab/programs.sh'], {
    needs: ['lab'],
    excuse: NO_LAB,
  }),
  build('sanitizers', 'the addon is built with sanitizers', sanitized(), { needs: ['build'] }),
];

const inLab = ['build', 'kernel', 'programs'];
const real: readonly Task[] = [
  ...quick,
  ...parts,
  task('vivid', 'lab, emulated', emulated('lab/shared-pages', 'lab/deadline'), { needs: inLab }),
  task('lab', 'lab: real V4L2 drivers', leaping('lab'), { needs: inLab }),
  task('vmm', 'vmm: a real QEMU', leaping('vmm'), { needs: inLab }),
  task('preload', 'preload: unmodified programs', leaping('preload'), { needs: inLab }),
  task('device', 'device: the whole daemon', leaping('device', 'fuzz'), { needs: inLab }),
  task('fuzz', 'fuzz', mocha(FUZZ), { needs: ['build'], env: { VMB_FUZZ_OPERATIONS: '100000' } }),
  task('sanitized-addon', 'the addon, sanitized', sanitized(...mocha(ADDON)), { needs: ['sanitizers'] }),
  task('sanitized-fuzz', 'fuzz, sanitized', mocha(FUZZ), {
    needs: ['sanitizers'],
    env: { VMB_FUZZ_OPERATIONS: '20000', VMB_FUZZ_SANITIZE: '1' },
  }),
];

const full: readonly Task[] = [...real];

export const circles = { demo, quick, real, full } as const;

/** Names of the tests that no smaller circle has. */
export function onlyIn(name: keyof typeof circles): string[] {
  if (name !== 'full') return [];
  return full.filter((each) => each.kind !== 'build' && !real.includes(each)).map((each) => each.name);
}
