/** A program sees the same node through the library as natively: settings, events, descriptors, mappings. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { eventually } from '../addon/support/process.js';
import { keepJournal, showJournal } from '../lab/support/daemon-log.js';
import { nodeNamed, provide, unload } from '../lab/support/kernel-modules.js';
import { Bridge } from './support/bridge.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const run = promisify(execFile);
/** Path in the sources: the TypeScript compiler does not copy C files. */
const SOURCE = fileURLToPath(new URL('../../../test/preload/node-life.c', import.meta.url));

/** Lines of `v4l2-ctl --all` that contain the driver's name or depend on READWRITE, which the bridge hides. */
const OWN = /^\s*(Driver name|Bus info|Capabilities|Device Caps|Read\/Write|Read buffers)\b/;
/** The part of the output about the media device that v4l2-ctl finds beside the node in sysfs. */
const MEDIA = /\nMedia Driver Info:[\s\S]*?\n(?=Priority)/;

describe('preload: a node', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'vmb-preload-'));
  const trace = join(folder, 'trace');
  const program = join(folder, 'node-life');
  let device: string;
  let bridge: Bridge;

  const environment = () => ({ ...bridge.environment(), VMB_PRELOAD_TRACE: trace });
  const bridged = async (file: string, ...words: string[]): Promise<string> =>
    (await run(file, words, { env: environment() })).stdout;

  before(async function () {
    provide(this, VIVID);
    execFileSync('gcc', ['-Wall', '-Wextra', '-Werror', '-O', '-o', program, SOURCE]);
    device = nodeNamed(CAMERA);
  });
  beforeEach(async () => {
    keepJournal();
    bridge = await Bridge.open(device);
  });
  afterEach(async function () {
    await bridge?.close();
    showJournal(this.currentTest);
  });
  after(() => {
    rmSync(folder, { recursive: true });
    unload(VIVID);
  });

  it('v4l2-ctl --all says what it says natively', async () => {
    const facts = (output: string) =>
      output
        .replace(MEDIA, '\n')
        .split('\n')
        .filter((line) => !OWN.test(line) && !/\(int\).*volatile/.test(line));
    const own = (await run('v4l2-ctl', ['-d', device, '--all'])).stdout;
    assert.deepEqual(facts(await bridged('v4l2-ctl', '-d', device, '--all')), facts(own));
  });

  it('sets controls, a string too, that others then read', async () => {
    await bridged('v4l2-ctl', '-d', device, '-c', 'brightness=77,string=four,bitmask=0x2000');
    const words = ['-d', device, '-C', 'brightness,string,bitmask'];
    const said = await bridged('v4l2-ctl', ...words);
    assert.match(said, /brightness: 77\nstring: 'four'\nbitmask: (8192|0x00002000)\n/);
    assert.equal(said, (await run('v4l2-ctl', words)).stdout);
  });

  it('tells of a control that another process has changed', async () => {
    if (existsSync(trace)) rmSync(trace);
    const waiting = spawn('v4l2-ctl', ['-d', device, '--wait-for-event=ctrl=contrast'], {
      env: environment(),
    });
    let said = '';
    waiting.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const ended = once(waiting, 'close');
    const subscribed = () => existsSync(trace) && /SUBSCRIBE_EVENT = 0/.test(readFileSync(trace, 'utf8'));
    assert.ok(await eventually(subscribed, 10_000), 'no subscription');
    await run('v4l2-ctl', ['-d', device, '-c', 'contrast=33']);
    assert.deepEqual(await ended, [0, null]);
    assert.match(said, /control-changed|ctrl|Event/i);
  });

  for (const words of [
    ['--stream-mmap'],
    ['--stream-mmap', '--stream-poll'],
    ['--stream-user', '--stream-poll'],
  ])
    it(`v4l2-ctl ${words.join(' ')}: 20 frames`, async () => {
      const output = join(folder, 'frames');
      await bridged('v4l2-ctl', '-d', device, ...words, '--stream-count=20', `--stream-to=${output}`);
      const size = Number(/Size Image\s*: (\d+)/.exec(await bridged('v4l2-ctl', '-d', device, '-V'))?.[1]);
      assert.equal(readFileSync(output).length, 20 * size);
    });

  for (const test of ['forked', 'in-pieces', 'pinned', 'copied', 'edges'])
    it(`node-life ${test}: as natively`, async () => {
      await run(program, [device, test]);
      await bridged(program, device, test);
    });
});
