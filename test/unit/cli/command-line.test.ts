/** The compiled command line: help, wrong usage, exit codes. Only the tests that say so need the addon. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLI, run } from './support/run.js';

/** The path of an addon that does not exist. A command that succeeds with it has not loaded the addon. */
const NO_ADDON = { VMB_ADDON: '/nonexistent/virtio_media_bridge.node' };

const PAIR = ['--device', '/dev/null', '--socket-path', '/nonexistent/a.sock'];

//  words of the command line, pattern of the message
const wrongUsages: readonly (readonly [words: string[], sentence: RegExp])[] = [
  [['frobnicate'], /unknown argument: frobnicate/],
  [['serve'], /--device is missing.*--device \/dev\/video0/],
  [['serve', '--device'], /not enough arguments following: device/],
  [['serve', '--device', ''], /--device is empty/],
  [['serve', '--device', '/dev/video0'], /--socket-path is missing.*--socket-path \//],
  [['serve', '--device', '/dev/video0', '--socket-path', ''], /--socket-path is empty/],
  [['serve', ...PAIR, '--bogus'], /unknown argument: bogus/],
  [['serve', ...PAIR, 'extra'], /unknown argument: extra/],
  [['serve', ...PAIR, '--device', '/dev/video1'], /2 devices but 1 socket/],
  [['serve', ...PAIR, '--socket-path', 'b.sock'], /1 device but 2 sockets/],
  [['serve', ...PAIR, ...PAIR], /--socket-path \/nonexistent\/a\.sock is given twice/],
  [['serve', ...PAIR, '--fd', '5'], /--socket-path and --fd exclude each other/],
  [['serve', ...PAIR, '--device-fd', '5'], /either --device or --device-fd/],
  [['serve', '--device', 'a', '--fd', 'five'], /--fd must be the number.*not five/],
  [['serve', '--device', 'a', '--fd', '-5'], /--fd|following: fd/],
  [['serve', '--device', 'a', '--fd', '1'], /--fd must be the number of an inherited descriptor, 3 or more/],
  [['serve', '--device-fd', '2', '--socket-path', 'a'], /--device-fd must be the number/],
  [['serve', ...PAIR, '--shm-size', '3M'], /--shm-size must be a power of two.*not 3M/],
  [['serve', ...PAIR, '--shm-size', '1G', '--shm-size', '1G'], /--shm-size is given twice/],
  [['serve', ...PAIR, '--no-shm', '--shm-size', '1G'], /--no-shm and --shm-size exclude/],
  [['serve', ...PAIR, '--no-shm', '--mmap', 'arena'], /--no-shm and --mmap exclude/],
  [['serve', ...PAIR, '--card', 'a', '--card', 'b'], /2 --cards but 1 device: the n-th names the n-th/],
  [['serve', ...PAIR, '--card', 'é'.repeat(16)], /--card é+ has 32 bytes: the guest has room for 31/],
  [['serve', ...PAIR, '--card', 'a\nb'], /--card "a\\nb" has characters that cannot be shown/],
  [['serve', ...PAIR, '--card', 'a\u202eb'], /--card .* has characters that cannot be shown/],
  [['serve', ...PAIR, '--mmap', 'maybe'], /--mmap must be one of "auto", "arena", "direct", not "maybe"/],
  [
    ['serve', ...PAIR, '--frontend', 'vmware'],
    /--frontend must be one of .*"cloud-hypervisor", not "vmware"/,
  ],
  [['serve', ...PAIR, '--deny-controls', 'brightness'], /--deny-controls: "brightness" is no control: an id/],
  [['serve', ...PAIR, '--allow-formats', 'YUYV2'], /--allow-formats: YUYV2 is no FOURCC/],
  [['serve', ...PAIR, '--max-sessions', '129'], /--max-sessions must be a number from 1 to 128, not 129/],
  [['serve', ...PAIR, '--deny-formats', 'A', '--deny-formats', 'B'], /--deny-formats is given twice/],
  [['serve', ...PAIR, '--log-level', 'loud'], /--log-level must be one of/],
  [['serve', ...PAIR, '--log-format', 'xml'], /--log-format must be one of/],
  [['serve', ...PAIR, '--mmap', 'auto', '--mmap', 'arena'], /--mmap is given twice/],
  [['serve', '--device', 'a', '--socket-path', `/${'x'.repeat(107)}`], /more than 107 bytes/],
  [['list', '/dev/video0'], /unknown argument/],
  [['inspect'], /not enough non-option arguments/],
  [['inspect', 'a', 'b'], /unknown argument: b/],
];

/** The flags of each command. */
const booleans: readonly (readonly [words: string[], flags: readonly string[]])[] = [
  [
    ['serve', ...PAIR],
    ['no-shm', 'mem-slots', 'objects', 'shared-pages', 'error-events', 'print-capabilities', 'help'],
  ],
  [['list'], ['json', 'version']],
  [['inspect', '/nonexistent'], ['json']],
  [['probe', '/nonexistent'], ['json']],
];

describe('command line', function () {
  // Each test starts processes, and the machine may be busy.
  this.timeout(120_000);

  it('prints help where nothing is asked', () => {
    const { status, stdout, stderr } = run([], NO_ADDON);
    assert.deepEqual([status, stderr], [0, '']);
    for (const command of ['serve', 'list', 'inspect <device>', 'probe <socket>'])
      assert.match(stdout, new RegExp(`virtio-media-bridge ${command}`));
  });

  it('prints help of serve with every option', () => {
    const { status, stdout } = run(['serve', '--help'], NO_ADDON);
    assert.equal(status, 0);
    const options = [
      ...['device', 'socket-path', 'device-fd', 'fd', 'shm-size', 'no-shm', 'mmap', 'frontend'],
      ...['mem-slots', 'objects', 'shared-pages', 'error-events'],
      ...['log-level', 'log-format', 'print-capabilities'],
    ];
    for (const option of options) assert.match(stdout, new RegExp(`^ +--${option} `, 'm'));
    assert.doesNotMatch(stdout, /verbosity/);
  });

  it('prints help of list, inspect and doctor', () => {
    for (const command of ['list', 'inspect', 'doctor'])
      assert.match(run([command, '--help'], NO_ADDON).stdout, /--json/);
  });

  it('doctor looks at the host without an addon, says what is missing, and exits with 71', () => {
    const { status, stdout, stderr } = run(['doctor', '--json'], NO_ADDON);
    assert.equal(stderr, '');
    assert.equal(status, 71);
    const findings = JSON.parse(stdout) as { what: string; state: string; cure: string | null }[];
    assert.deepEqual(
      findings.filter(({ state }) => state === 'failure').map(({ what }) => what),
      ['addon'],
    );
    const text = run(['doctor'], NO_ADDON).stdout;
    assert.match(text, /^failure {2}addon .*\n {9}build it on this machine with .*docs\/installation\.md/m);
    for (const { what } of findings) assert.match(text, new RegExp(`^(ok|warning|failure) +${what} `, 'm'));
  });

  it('prints the version of the package', () => {
    const text = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8');
    assert.equal(
      run(['--version'], NO_ADDON).stdout.trim(),
      (JSON.parse(text) as { version: string }).version,
    );
  });

  for (const words of [
    ['--print-capabilities'],
    ['serve', '--print-capabilities'],
    ['--print-capabilities=true'],
    ['--fd=99', '--bogus', '--print-capabilities', '--socket-path=/x'],
  ])
    it(`prints capabilities and ignores the rest: ${words.join(' ')}`, () => {
      const { status, stdout, stderr } = run(words, NO_ADDON);
      assert.deepEqual([status, JSON.parse(stdout), stderr], [0, { type: 'media', features: [] }, '']);
    });

  for (const [words, sentence] of wrongUsages)
    it(`refuses: ${words.join(' ').slice(0, 90)}`, () => {
      const { status, stdout, stderr } = run(words, NO_ADDON);
      assert.deepEqual([status, stdout], [64, '']);
      assert.match(stderr, sentence);
      assert.match(stderr, /^virtio-media-bridge: .+ \(see virtio-media-bridge( \w+)? --help\)\n$/);
    });

  for (const [words, flags] of booleans)
    for (const flag of flags)
      it(`refuses a value that is neither true nor false: ${words[0]} --${flag}=yes`, () => {
        // `probe` loads the addon before it reads its options.
        const { status, stdout, stderr } = run([...words, `--${flag}=yes`]);
        assert.deepEqual([status, stdout], [64, '']);
        const sentence = `--${flag} is true or false, not yes: --${flag} alone turns it on`;
        assert.equal(
          stderr,
          `virtio-media-bridge: ${sentence} (see virtio-media-bridge ${words[0]} --help)\n`,
        );
      });

  for (const word of ['=1', '=on', '=True', '=FALSE', '=0', '=', '= true', '="true"', '=a=b', '=true\n'])
    it(`refuses the value of --no-shm${JSON.stringify(word)}`, () => {
      const { status, stderr } = run(['serve', ...PAIR, `--no-shm${word}`], NO_ADDON);
      assert.equal(status, 64);
      assert.match(stderr, /: --no-shm is true or false, not .*: --no-shm alone turns it on \(see /);
    });

  for (const words of [
    ['serve', ...PAIR, '--noShm=1'],
    ['serve', ...PAIR, '--no-shm=true', '--no-shm=1'],
    ['serve', ...PAIR, '--no-shm=1', '--no-shm=true'],
    ['serve', '--no-shm=1', ...PAIR],
    ['--no-shm=1', ...PAIR],
    ['serve', ...PAIR, '-h=1'],
  ])
    it(`refuses a value in whatever form: ${words.join(' ')}`, () => {
      const { status, stderr } = run(words, NO_ADDON);
      assert.equal(status, 64);
      assert.match(stderr, / is true or false, not 1: /);
    });

  it('takes true and false, and a value of another kind of option that looks like one of a flag', () => {
    for (const words of [
      ['--no-shm'],
      ['--no-shm=true'],
      ['--no-shm=false', '--objects', 'false'],
      ['--allow-controls=--no-shm=1'],
    ]) {
      const { status, stderr } = run(['serve', ...PAIR, ...words], NO_ADDON);
      // 71: the options were right, so the command tried to load the addon.
      const expected = words[0]!.startsWith('--allow') ? 64 : 71;
      assert.equal(status, expected, stderr);
      assert.doesNotMatch(stderr, /true or false/);
    }
    assert.doesNotMatch(run(['inspect', 'a', '--', '--json=1'], NO_ADDON).stderr, /true or false/);
  });

  it('takes options without a command for serve', () => {
    const { status, stderr } = run(['--socket-path=/nonexistent/a.sock', '--verbosity=debug'], NO_ADDON);
    assert.equal(status, 64);
    assert.match(stderr, /--device is missing.*see virtio-media-bridge serve --help/);
  });

  it('tells a descriptor that is not open from one of the wrong kind', () => {
    assert.match(run(['--device=a', '--fd=77'], NO_ADDON).stderr, /--fd 77 is not open/);
    const fd = openSync('/dev/null', 'r');
    const { status, stderr } = run(['--device=a', '--fd=3'], NO_ADDON, [fd]);
    closeSync(fd);
    assert.equal(status, 64);
    assert.match(stderr, /--fd 3 is not a socket/);
  });

  it('takes a socket from systemd, for its own process only', async () => {
    const path = join(tmpdir(), `vmb-activation-${process.pid}.sock`);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const serve = `exec "${process.execPath}" "${CLI}" serve --device /dev/null`;
    const activated = (pid: string) =>
      spawnSync('/bin/sh', ['-c', `LISTEN_PID=${pid} LISTEN_FDS=1 ${serve}`], {
        encoding: 'utf8',
        env: { ...process.env, ...NO_ADDON },
        stdio: ['ignore', 'pipe', 'pipe', fd],
      });
    // 71: the options were right, so the command tried to load the addon.
    assert.equal(activated('$$').status, 71);
    assert.match(activated('1').stderr, /--socket-path is missing/);
    await new Promise((resolve) => server.close(resolve));
  });

  it('says that the addon is not built, or is of another machine', () => {
    const absent = run(['serve', ...PAIR], NO_ADDON);
    assert.equal(absent.status, 71);
    assert.match(absent.stderr, /no native addon for \w+: build it .*`npm --prefix \/.* run build:addon`/);
    const folder = mkdtempSync(join(tmpdir(), 'vmb-addon-'));
    const path = join(folder, 'wrong.node');
    closeSync(openSync(path, 'w'));
    const wrong = run(['serve', ...PAIR], { VMB_ADDON: path });
    rmSync(folder, { recursive: true });
    assert.equal(wrong.status, 71);
    assert.match(wrong.stderr, /does not load here: build it .*`npm --prefix \/.* run build:addon` \(.+\)/);
  });

  it('prints no control character that it is given', () => {
    for (const words of [
      ['inspect', 'a\u001b[2J\nERROR b\u009b'],
      ['list', '\u001b[2J\nERROR\u202e'],
    ]) {
      const { stderr } = run(words, NO_ADDON);
      assert.match(stderr, /^virtio-media-bridge: [ -~]*\?\[2J[? ]ERROR[ -~]*\n$/);
    }
  });

  it('tells a path that is missing from one that is no node', () => {
    const missing = run(['inspect', '/nonexistent'], NO_ADDON);
    assert.equal(missing.status, 66);
    assert.match(missing.stderr, /there is no \/nonexistent: .*list/);
    const wrong = run(['inspect', '/dev/null'], NO_ADDON);
    assert.equal(wrong.status, 65);
    assert.match(wrong.stderr, /\/dev\/null is no V4L2 node/);
  });
});
