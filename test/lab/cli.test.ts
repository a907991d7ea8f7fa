/** The command line on real nodes: list, inspect, and probe against serve. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { PNG } from 'pngjs';
import { BufferType } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { isFree } from './support/native-node.js';
import { showBars } from './support/vivid.js';

const VIVID = 'vivid n_devs=2 node_types=0x1,0x10 allocators=0,0';
const VIM2M = 'vim2m';
const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const SOCKET = '/tmp/vmb-lab-cli.sock';
const PICTURE = '/tmp/vmb-lab-cli.png';
/** Bytes: `inspect --json` of vivid prints a megabyte. */
const MAX_OUTPUT = 16 << 20;
const run = promisify(execFile);

const cli = (...args: string[]) => run(process.execPath, [CLI, ...args], { maxBuffer: MAX_OUTPUT });
const json = async (...args: string[]) => JSON.parse((await cli(...args, '--json')).stdout);

interface Survey {
  readonly node: { readonly path: string };
  readonly kind: string;
  readonly serveable: boolean;
  readonly reason: string | null;
  readonly queues: readonly {
    readonly type: number;
    readonly memory: readonly string[];
    readonly exportable: boolean;
    readonly formats: readonly { fourcc: string; sizes: readonly { width: number; height: number }[] }[];
  }[];
  readonly controls: readonly { name: string; value?: unknown; menu: readonly { name: string }[] }[];
}

describe('lab: the command line', function () {
  this.timeout(120_000);
  let server: ChildProcess | undefined;

  before(async function () {
    provide(this, VIVID, VIM2M);
    await showBars(nodeNamed('vivid-000-vid-cap'));
  });
  afterEach(() => {
    server?.kill('SIGKILL');
    server = undefined;
    for (const file of [SOCKET, PICTURE]) rmSync(file, { force: true });
  });
  after(() => unload(VIVID, VIM2M));

  it('list: every node, what it is, and why one cannot be served', async () => {
    const survey: Survey[] = await json('list');
    const found = new Map(survey.map((each) => [each.node.path, each]));
    const camera = found.get(nodeNamed('vivid-000-vid-cap'))!;
    assert.deepEqual([camera.kind, camera.serveable, camera.reason], ['capture', true, null]);
    assert.deepEqual(
      camera.queues.map(({ type, memory, exportable }) => ({ type, memory, exportable })),
      [{ type: BufferType.VIDEO_CAPTURE, memory: ['MMAP', 'USERPTR', 'DMABUF'], exportable: true }],
    );
    const converter = found.get(nodeNamed(VIM2M))!;
    assert.deepEqual([converter.kind, converter.serveable, converter.queues.length], ['converter', true, 2]);
    const radio = found.get(nodeNamed('vivid-001-rad-rx'))!;
    assert.deepEqual([radio.kind, radio.serveable, radio.reason], ['radio', true, null]);
    assert.equal(survey.length, 3);
    const { stdout } = await cli('list');
    for (const path of found.keys()) assert.ok(stdout.includes(path));
  });

  it('inspect: everything the camera can do, whole through a pipe', async () => {
    const camera: Survey = await json('inspect', nodeNamed('vivid-000-vid-cap'));
    const [queue] = camera.queues;
    const yuyv = queue!.formats.find(({ fourcc }) => fourcc === 'YUYV')!;
    assert.ok(yuyv.sizes.some(({ width, height }) => width === 320 && height === 180));
    assert.ok(queue!.formats.length > 50);
    const pattern = camera.controls.find(({ name }) => name === 'Test Pattern')!;
    assert.equal(pattern.menu[1]!.name, '100% Colorbar');
    assert.equal(pattern.value, 1);
    const rectangle = camera.controls.find(({ name }) => name === 'Rect');
    // vivid has it from Linux 6.14 on.
    if (rectangle) assert.deepEqual(rectangle.value, { left: 200, top: 100, width: 300, height: 400 });
  });

  it('doctor: the nodes that can be served, who has one open, and the failure of one that is not there', async () => {
    const camera = nodeNamed('vivid-000-vid-cap');
    interface Finding {
      readonly what: string;
      readonly state: string;
      readonly found: string;
      readonly cure: string | null;
    }
    const all: Finding[] = await json('doctor');
    assert.deepEqual(
      all.filter(({ state }) => state === 'failure'),
      [],
    );
    assert.ok(all.some(({ what, found }) => what === camera && /no copy, with every VMM/.test(found)));
    const holder = spawn('sh', ['-c', 'exec sleep 60 <"$0"', camera], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    try {
      const isOpen = async () =>
        ((await json('doctor', camera)) as Finding[]).some(({ found }) =>
          found.startsWith('open in sleep ('),
        );
      assert.ok(await eventually(isOpen, 30_000), 'nobody is seen to have it open');
    } finally {
      holder.kill('SIGKILL');
    }
    const failed = cli('doctor', '/dev/video99', '--json').catch((error) => error);
    const { code, stdout } = (await failed) as { code: number; stdout: string };
    assert.equal(code, 71);
    const [missing] = (JSON.parse(stdout) as Finding[]).filter(({ state }) => state === 'failure');
    assert.deepEqual([missing!.what, missing!.found], ['/dev/video99', 'does not exist']);
  });

  it('serve and probe: a picture with the colours of the test pattern, and an end at SIGTERM', async () => {
    const camera = nodeNamed('vivid-000-vid-cap');
    const words = ['serve', '--device', camera, '--socket-path', SOCKET, '--card', 'Küche 📷'];
    server = spawn(process.execPath, [CLI, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    assert.ok(await eventually(() => existsSync(SOCKET), 30_000), 'no socket');
    const report = await json(
      'probe',
      SOCKET,
      '--frames',
      '5',
      '--format',
      'RGB3',
      '--size',
      '320x180',
      '--output',
      PICTURE,
    );
    const { format, width: columns } = report.capture;
    assert.deepEqual([report.card, format, columns], ['Küche 📷', 'RGB3', 320]);
    assert.equal(report.capture.clock, 'monotonic');
    assert.deepEqual([report.capture.frames, report.capture.output], [5, PICTURE]);
    const { width, height, data } = PNG.sync.read(readFileSync(PICTURE));
    assert.deepEqual([width, height], [320, 180]);
    const colours = Array.from({ length: 8 }, (_, bar) => {
      const at = (90 * width + bar * 40 + 20) * 4;
      return [...data.subarray(at, at + 3)];
    });
    assert.deepEqual(colours, BARS);
    assert.equal(await isFree(camera, BufferType.VIDEO_CAPTURE), true, 'the probe has left');
    const ended = once(server, 'exit');
    server.kill('SIGTERM');
    assert.deepEqual(await ended, [0, null]);
    assert.equal(existsSync(SOCKET), false, 'the socket is left behind');
  });
});

const BARS = [
  [255, 255, 255],
  [255, 255, 0],
  [0, 255, 255],
  [0, 255, 0],
  [255, 0, 255],
  [255, 0, 0],
  [0, 0, 255],
  [0, 0, 0],
];
