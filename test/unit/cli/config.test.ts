/** The compiled command `config`, and `serve --config` up to the point at which it needs the addon. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './support/run.js';

const NO_ADDON = { VMB_ADDON: '/nonexistent/virtio_media_bridge.node' };
const RIGHT = `log-level: warn
vms:
  desk:
    mmap: arena
    nodes:
      - device: /dev/null
        socket-path: /nonexistent/a.sock
        deny-controls: [private, 0x00980900]
  door:
    nodes:
      - device: /dev/zero
        socket-path: /nonexistent/b.sock
`;

describe('command config', function () {
  this.timeout(120_000);
  let folder: string;
  let file: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-config-'));
    file = join(folder, 'config.yaml');
  });
  beforeEach(() => writeFileSync(file, RIGHT));
  after(() => rmSync(folder, { recursive: true }));
  const broken = (from: string, to: string) => {
    assert.ok(RIGHT.includes(from));
    writeFileSync(file, RIGHT.replace(from, to));
  };

  it('check prints every fault with its place and exits with 78, or says that nothing is wrong', () => {
    assert.deepEqual(run(['config', 'check', file], NO_ADDON), {
      status: 0,
      stdout: `${file}: 2 VMs, 2 nodes: nothing is wrong\n`,
      stderr: '',
    });
    writeFileSync(
      file,
      RIGHT.replace('arena', 'aren').replace('log-level', 'log-levle').replace('private,', 'privat,'),
    );
    const { status, stdout, stderr } = run(['config', 'check', file], NO_ADDON);
    assert.deepEqual([status, stderr], [78, '']);
    assert.deepEqual(stdout.split('\n').slice(0, 2), [
      `${file}:1:1: there is no key log-levle: did you mean log-level?`,
      `${file}:4:11: mmap must be one of auto, arena, direct, not aren: did you mean arena?`,
    ]);
    assert.match(stdout.split('\n')[2]!, /:8:25: deny-controls: "privat" is no control: an id/);
  });

  it('check --json is an array of faults', () => {
    assert.deepEqual(JSON.parse(run(['config', 'check', file, '--json'], NO_ADDON).stdout), []);
    broken('mmap: arena', 'shm-size: 3M');
    const { status, stdout } = run(['config', 'check', file, '--json'], NO_ADDON);
    assert.equal(status, 78);
    const sentence = 'shm-size must be a power of two from 64K to 64G, for example 256M or 1G, not 3M';
    assert.deepEqual(JSON.parse(stdout), [{ file, line: 4, column: 15, sentence }]);
  });

  //  what a VM has in the place of `mmap: arena`, and the sentence without flags
  for (const [more, sentence] of [
    ['no-shm: true\n    mmap: direct', '7:9: no-shm and mmap exclude each other'],
    ['no-shm: true\n    shm-size: 1G', '7:9: no-shm and shm-size exclude each other'],
    ['max-sessions: 129', '4:19: max-sessions must be a number from 1 to 128, not 129'],
    ['max-buffer-bytes: 1', '4:23: max-buffer-bytes must be a size from 4K to 1G'],
    ['allow-formats: [YUYV, YUYV2]', '4:27: allow-formats: YUYV2 is no FOURCC'],
    ['nodes: []', 'map keys must be unique'],
  ] as const)
    it(`check has the rules of the flags: ${more.replaceAll(/\s+/g, ' ')}`, () => {
      broken('mmap: arena', more);
      const { status, stdout } = run(['config', 'check', file], NO_ADDON);
      assert.equal(status, 78);
      assert.ok(stdout.includes(sentence), stdout);
      assert.doesNotMatch(stdout, / --/);
    });

  it('check finds names and paths that no node can have', () => {
    broken('device: /dev/null', `device: /dev/null\n        card: ${'é'.repeat(16)}`);
    assert.match(
      run(['config', 'check', file], NO_ADDON).stdout,
      /:7:15: card é+ has 32 bytes: the guest has room/,
    );
    broken('/nonexistent/a.sock', `/${'x'.repeat(107)}`);
    assert.match(
      run(['config', 'check', file], NO_ADDON).stdout,
      /:7:22: socket-path .* more than 107 bytes/,
    );
  });

  it('check looks for users and groups, with the addon', () => {
    broken('log-level: warn', 'log-level: warn\nsocket-user: no-such-user');
    const { status, stdout } = run(['config', 'check', file]);
    assert.deepEqual(
      [status, stdout],
      [78, `${file}:2:1: socket-user no-such-user: there is no such user\n`],
    );
  });

  it('a file that cannot be read is one sentence', () => {
    const { status, stdout, stderr } = run(['config', 'check', `${file}.none`], NO_ADDON);
    assert.deepEqual([status, stdout], [78, '']);
    assert.equal(stderr, `virtio-media-bridge: ${file}.none cannot be read: there is no such file\n`);
  });

  it('show says what holds and where it is from; flags of serve go before the file', () => {
    const { status, stdout } = run(['config', 'show', file, '--vm', 'desk', '--mmap', 'direct'], NO_ADDON);
    assert.equal(status, 0);
    assert.match(stdout, new RegExp(`^log-level: warn # ${file}:1$`, 'm'));
    assert.match(stdout, /^ {8}mmap: direct # flag$/m);
    assert.match(stdout, /^ {8}shm-size: 1G # default$/m);
    assert.doesNotMatch(stdout, /door/);
    const json = JSON.parse(
      run(['config', 'show', file, '--json', '--vm', 'door', '--no-shm'], NO_ADDON).stdout,
    );
    assert.deepEqual(Object.keys(json.vms), ['door']);
    assert.deepEqual(json.vms.door.nodes[0]['no-shm'], { value: true, from: 'flag' });
    assert.deepEqual(json.vms.door.nodes[0]['shm-size'], { value: null, from: 'default' });
  });

  it('show of what is wrong is the first fault', () => {
    broken('mmap: arena', 'mmpa: arena');
    const { status, stdout, stderr } = run(['config', 'show', file], NO_ADDON);
    assert.deepEqual([status, stdout], [78, '']);
    assert.match(stderr, /config\.yaml:4:5: there is no key mmpa: did you mean mmap\?\n$/);
  });

  it('schema is JSON, without a file', () => {
    const { status, stdout } = run(['config', 'schema'], NO_ADDON);
    assert.equal(status, 0);
    assert.equal(JSON.parse(stdout).title, 'Configuration of virtio-media-bridge');
  });

  it('refuses another action, and a flag that serve refuses', () => {
    assert.equal(run(['config', 'shwo'], NO_ADDON).status, 64);
    assert.equal(run(['config'], NO_ADDON).status, 64);
    assert.equal(run(['config', 'show', file, '--mmap', 'maybe'], NO_ADDON).status, 64);
    assert.equal(run(['config', 'show', file, '--objects=yes'], NO_ADDON).status, 64);
  });

  describe('serve --config', () => {
    const serve = (...words: string[]) => run(['serve', '--config', file, ...words], NO_ADDON);

    it('takes what is right, and goes on to the addon', () => {
      for (const words of [[], ['--vm', 'desk'], ['--vm', 'desk', '--vm', 'door'], ['--no-shm']])
        if (words[0] === '--no-shm') assert.match(serve(...words).stderr, /:6:9: no-shm and mmap exclude/);
        else assert.equal(serve(...words).status, 71, words.join(' '));
    });

    it('refuses what is wrong with the first fault, and says how many more there are', () => {
      writeFileSync(file, RIGHT.replace('arena', 'aren').replace('log-level', 'log-levle'));
      const { status, stderr } = serve();
      assert.equal(status, 78);
      assert.match(
        stderr,
        /:1:1: there is no key log-levle: did you mean log-level\? \(and 1 more, see .* config check\)/,
      );
    });

    it('refuses a VM that the file has not, and nodes of the command line for more than one VM', () => {
      assert.match(serve('--vm', 'window').stderr, /has no VM window: it has desk, door/);
      const pair = ['--device', '/dev/null', '--socket-path', '/nonexistent/c.sock'];
      assert.match(serve(...pair).stderr, /--device names the nodes of one VM: say with --vm which VM of/);
      assert.equal(serve('--vm', 'desk', ...pair).status, 71);
      assert.match(serve('--vm', 'desk', '--card', 'x').stderr, /device is missing/);
    });

    it('--vm alone means the file in /etc', () => {
      const { status, stderr } = run(['serve', '--vm', 'desk'], NO_ADDON);
      assert.ok(status === 78 || status === 71, stderr);
      if (status === 78) assert.match(stderr, /\/etc\/virtio-media-bridge\/config\.yaml/);
    });

    it('refuses a flag that is given twice', () => {
      assert.match(serve('--mmap', 'auto', '--mmap', 'auto').stderr, /--mmap is given twice/);
    });
  });
});
