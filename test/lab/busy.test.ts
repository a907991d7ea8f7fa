/** Another program of the host has the node open: the bridge says which one, at start and while a guest runs. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Errno } from '../../src/errno.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { journalled, keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { errnoOf, onStage, Stage } from './support/stage.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const LABEL = 'a-single-open';
/** A driver that lets only one program open its node. */
const LOOPBACK = `v4l2loopback devices=1 max_openers=1 card_label=${LABEL}`;
const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const NOBODY = { uid: 65_534, gid: 65_534 };
const BUSY = 75;

describe('lab: another program has the node', function () {
  this.timeout(60_000);
  let other: ChildProcess | undefined;

  before(function () {
    provide(this, VIVID, LOOPBACK);
  });
  beforeEach(keepJournal);
  afterEach(async function () {
    showJournal(this.currentTest);
    await end();
  });
  after(() => unload(VIVID, LOOPBACK));

  async function end(): Promise<void> {
    if (!other) return;
    const ended = once(other, 'exit');
    other.kill('SIGKILL');
    await ended;
    other = undefined;
  }

  /** Starts a shell that has the node open. It is `sh` in the process table. */
  async function hold(node: string): Promise<string> {
    const script = 'exec 3<>"$0" && echo ready && read end';
    other = spawn('sh', ['-c', script, node], { stdio: ['pipe', 'pipe', 'inherit'] });
    await once(other.stdout!, 'data');
    return `sh (${other.pid})`;
  }

  it('at start: the error names program and process', async () => {
    const node = nodeNamed(LABEL);
    const who = await hold(node);
    await assert.rejects(Stage.open(node), {
      code: 'ERR_NODE_BUSY',
      message: `${node} cannot be opened: EBUSY: ${who} has it, end that one first.`,
    });
    await end();
    await onStage(node, {}, async ({ driver }) => driver.close(await driver.open()));
  });

  it('at start, for a user who may not see it: the error says how to see more', async () => {
    const node = nodeNamed(LABEL);
    chmodSync(node, 0o666);
    await hold(node);
    const args = [CLI, 'serve', '--device', node, '--socket-path', '/tmp/vmb-lab-busy.sock'];
    const daemon = spawn(process.execPath, args, {
      ...NOBODY,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(daemon, 'exit');
    assert.match(await text(daemon.stderr!), /EBUSY: another program \(run as root to see which\) has it/);
    assert.deepEqual(await ended, [BUSY, null]);
  });

  it('when the guest opens it: EBUSY, and a line that names the program, one in five seconds', async () => {
    const node = nodeNamed(LABEL);
    await onStage(node, {}, async ({ driver }) => {
      const who = await hold(node);
      assert.equal(await errnoOf(driver.open()), Errno.EBUSY);
      assert.equal(await errnoOf(driver.open()), Errno.EBUSY);
      const line = `the guest was told EBUSY: ${who} has the node`;
      assert.ok(await eventually(() => journalled(line).length > 0), 'the log does not say who has it');
      assert.equal(journalled('told EBUSY').length, 1);
      await end();
      await driver.close(await driver.open());
    });
  });

  it('when the guest wants buffers that another program streams from: the line names that one', async () => {
    const node = nodeNamed(CAMERA);
    const args = ['-d', node, '--stream-mmap', '--stream-to=/dev/null', '--verbose'];
    other = spawn('v4l2-ctl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [other.stdout!, other.stderr!])
      stream.setEncoding('utf8').on('data', (words: string) => {
        said += words;
      });
    assert.ok(await eventually(() => said.includes('STREAMON'), 10_000), said);
    await onStage(node, {}, async ({ driver }) => {
      const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
      assert.equal(other!.exitCode, null, said);
      assert.equal(await errnoOf(queue.request(2)), Errno.EBUSY);
      const line = `the guest was told EBUSY: v4l2-ctl (${other!.pid}) has buffers of the node mapped`;
      assert.ok(await eventually(() => journalled(line).length > 0), 'the log does not say who has it');
    });
  });

  it('the guest’s own two sessions are no news', async () => {
    await onStage(nodeNamed(CAMERA), {}, async ({ driver }) => {
      const queues = [await driver.open(), await driver.open()].map(
        (session) => new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE),
      );
      await queues[0]!.request(2);
      assert.equal(await errnoOf(queues[1]!.request(2)), Errno.EBUSY);
      await eventually(() => journalled('EBUSY').length > 0, 1000);
      assert.deepEqual(journalled('told EBUSY'), []);
    });
  });
});
