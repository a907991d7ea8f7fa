/** Tables of what each circle does. The README names the circles; docs/contributing.md says how long each takes. */
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

/** Enough for Debian's kernel in emulation, which takes 50 minutes for everything if nothing else is done meanwhile. */
const MACHINE_SECONDS = 4500;
/** Runs these folders and files of tests on a machine with V4L2 devices (lab/guest/suite.sh). */
const machine = (options: readonly string[], ...suites: readonly string[]) => [
  'test/lab/run.sh',
  ...['--timeout', String(MACHINE_SECONDS), '--env', 'VMB_NOTES=1'],
  ...options,
  ...['--', '/checkout/test/lab/guest/suite.sh'],
  ...suites,
];
/** On the um machine (the kernel as a program), whose clock skips times in which nothing runs. Uses one processor. */
const leaping = (...suites: readonly string[]) => machine(['--leap'], ...suites);
/** On Debian's own kernel in emulation, with two processors and a clock that does not skip. */
const emulated = (...suites: readonly string[]) => machine([], ...suites);

const UNIT = ['dist/test/unit/**/*.test.js', 'dist/test/*.test.js'];
const ADDON = 'dist/test/addon/**/*.test.js';
const FUZZ = 'dist/test/fuzz/fuzz.test.js';
const PACKAGE = 'dist/test/package/*.test.js';
const FROM_SOURCE = 'dist/test/package/long/*.test.js';
const MIXED = 'dist/test/bench/mixed.test.js';
const NO_LAB = 'the machine with V4L2 devices could not be made';

const addon = build('build', 'the addon is built', ['npm', 'run', '--silent', 'build:addon']);

/** What `npm run demo` needs. */
const demo: readonly Task[] = [
  addon,
  build('lab', 'the machine is built', ['demo/lab.sh'], { needs: ['build'] }),
];

/** The checks for every save. */
const quick: readonly Task[] = [
  addon,
  task('unit', 'unit: logic and the command line', mocha(...UNIT), { needs: ['build'] }),
  task('addon', 'addon: the native surface', mocha(ADDON), { needs: ['build'] }),
  task('lint', 'lint', ['npm', 'run', '--silent', 'lint'], { kind: 'check' }),
];

/** What the tests on real drivers need. Each is built once for each state of its sources. */
const lab: readonly Task[] = [
  build('lab', 'the lab is built', ['test/lab/build.sh'], { excuse: NO_LAB }),
  build('kernel', 'its kernel as a program is built', ['test/lab/um/build.sh'], {
    needs: ['lab'],
    excuse: NO_LAB,
  }),
  build('programs', 'the USB camera and the guest driver of programs are built', ['test/lab/programs.sh'], {
    needs: ['build', 'lab'],
    excuse: NO_LAB,
  }),
];
const sanitizers = build('sanitizers', 'the addon is built with sanitizers', sanitized(), {
  needs: ['build'],
});

const bench = [
  build('bench-parts', 'the native parts of the bench are built', ['make', '-sC', 'test/bench/native']),
  task('bench', 'bench: it works, with small counts', mocha('dist/test/bench/*.test.js'), {
    needs: ['build', 'bench-parts'],
  }),
];

/** Real ioctls on the fake node, with slow ones, pauses, resets and a VMM that leaves in between. */
const sanitizedStreams = (frames: number, more: More = {}) =>
  task('sanitized-streams', `streams of ${frames} frames, sanitized`, sanitized(...mocha(MIXED)), {
    needs: ['sanitizers', 'bench-parts'],
    env: { VMB_MIXED_FRAMES: `${frames}` },
    ...more,
  });

const inLab = { needs: ['kernel', 'programs'] };
/** Real drivers and a real QEMU, each test once. The longest tasks come first. */
const onDrivers: readonly Task[] = [
  task('drivers', 'lab: vivid, vicodec, visl, vim2m, v4l2loopback, a USB camera', leaping('lab'), inLab),
  task('programs-in-lab', 'preload: unmodified programs, v4l2-compliance', leaping('preload'), inLab),
  task('vmm', 'vmm: a real QEMU', leaping('vmm'), inLab),
  task(
    'device',
    'device, fuzz: the whole daemon over a socket; fuzzers on real nodes',
    leaping('device', 'fuzz'),
    inLab,
  ),
];

const fuzz = (operations: number, more: More = {}) =>
  task('fuzz', `fuzz: ${operations} operations`, mocha(FUZZ), {
    needs: ['build'],
    env: { VMB_FUZZ_OPERATIONS: `${operations}` },
    ...more,
  });
const sanitizedFuzz = (operations: number, more: More = {}) =>
  task('sanitized-fuzz', `fuzz, sanitized: ${operations} operations`, mocha(FUZZ), {
    needs: ['sanitizers'],
    env: { VMB_FUZZ_OPERATIONS: `${operations}`, VMB_FUZZ_SANITIZE: '1' },
    ...more,
  });
const sanitizedAddon = task('sanitized-addon', 'addon, sanitized', sanitized(...mocha(ADDON)), {
  needs: ['sanitizers'],
});

const packaged = (what: string, files: readonly string[], more: More) =>
  task(
    'package',
    `package: packed, installed without a compiler by npm 10, 11 and 12${what}`,
    mocha(...files),
    more,
  );

/** All tests that check the product on real drivers and VMMs. */
const real: readonly Task[] = [
  ...lab,
  ...quick,
  sanitizers,
  task(
    'emulated',
    'emulated: memory types and huge pages, the deadline, a USB bus with another number, a real QEMU, on Debian’s kernel with two processors',
    emulated('lab/shared-pages', 'lab/deadline', 'lab/capture', 'lab/renumber', 'vmm/slow-ioctl'),
    { needs: ['lab', 'programs'] },
  ),
  ...onDrivers,
  packaged('', [PACKAGE], { needs: ['build'], limitSeconds: 1200 }),
  fuzz(100_000),
  sanitizedAddon,
  ...bench,
  sanitizedStreams(5000),
  sanitizedFuzz(20_000),
];

const SUPPORTED_NODES = ['20.19.0', '22.23.5', '24.22.3', '26.12.1'];
const LONG = { limitSeconds: 5000 };
/** With two machines of two processors side by side, tests wait for longer than a guest does. */
const EMULATED = { needs: ['lab', 'programs'], processors: 2, ...LONG } as const;

/** Memory over time depends on V8, which goes by the clock. So this runs on a clock that does not skip. */
const endurance = [
  'test/lab/run.sh',
  ...['--timeout', '3000', '--', 'sh', '-euc'],
  `modprobe vim2m; modprobe vivid n_devs=2 node_types=0x1,0x1
   exec node dist/test/endurance/main.js --sessions 2000 --frames 5000 --camera-frames 5000 --fake-sessions 20000`,
];

/** Faults in any order: many more than in the smaller circles. */
const shuffle = machine(['--leap', '--env', 'VMB_SHUFFLE_FAULTS=300'], 'lab/shuffle');

/** Every test there is, however long it takes. */
const full: readonly Task[] = [
  ...lab,
  ...quick,
  sanitizers,
  task('emulated-lab', 'emulated: device, fuzz and lab', emulated('device', 'fuzz', 'lab'), EMULATED),
  task('emulated-vmm', 'emulated: vmm and preload', emulated('vmm', 'preload'), EMULATED),
  ...onDrivers,
  task('endurance', 'endurance: 2000 sessions, 5000 frames of a camera and of a converter', endurance, {
    ...inLab,
    env: { VMB_LAB_ACCEL: 'um' },
    kind: 'check',
  }),
  task('shuffle', 'lab: 300 faults in any order on a camera, a decoder and v4l2loopback', shuffle, inLab),
  packaged('; from source, from a clone', [PACKAGE, FROM_SOURCE], {
    needs: ['build', 'lab'],
    limitSeconds: 1800,
  }),
  fuzz(1_000_000, { ...LONG, processors: 2 }),
  sanitizedAddon,
  ...bench,
  sanitizedStreams(100_000, { ...LONG, processors: 2 }),
  sanitizedFuzz(1_000_000, { ...LONG, processors: 2 }),
  ...SUPPORTED_NODES.map((version) =>
    task(`node-${version}`, `unit and addon on Node ${version}`, ['test/node.sh', version, ...UNIT, ADDON], {
      needs: ['build'],
    }),
  ),
];

export const circles = { demo, quick, real, full } as const;

/** Names of the tasks that no smaller circle has. */
export function onlyIn(name: keyof typeof circles): string[] {
  if (name !== 'full') return [];
  return full.filter((each) => each.kind !== 'build' && !real.includes(each)).map((each) => each.name);
}
