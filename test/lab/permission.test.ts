/** A daemon without privileges. chmod takes its node away and gives it back. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { Errno } from '../../src/errno.js';
import { BufferFlag, BufferType } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { errnoOf } from './support/stage.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const CLI = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const SOCKET = '/tmp/vmb-lab-permission.sock';
/** User nobody and group nogroup of Debian. */
const NOBODY = { uid: 65_534, gid: 65_534 };

describe('lab: the permission of a node is lost', function () {
  this.timeout(60_000);
  let daemon: ChildProcess;
  let said = '';
  let frontEnd: Vmm;
  let driver: GuestDriver;

  before(async function () {
    provide(this, VIVID);
    chmodSync(nodeNamed(CAMERA), 0o666);
    const args = [CLI, 'serve', '--device', nodeNamed(CAMERA), '--socket-path', SOCKET];
    daemon = spawn(process.execPath, args, { ...NOBODY, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
    daemon.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    assert.ok(await eventually(() => existsSync(SOCKET), 30_000), `no socket: ${said}`);
    frontEnd = await Vmm.connect(SOCKET);
    driver = await GuestDriver.probe(frontEnd);
  });
  after(async () => {
    frontEnd?.close();
    if (daemon) {
      const ended = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await ended;
    }
    rmSync(SOCKET, { force: true });
    unload(VIVID);
  });

  const start = async () => {
    const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
    await queue.start(4);
    return queue;
  };
  const goodFrames = async (queue: GuestQueue) => {
    for (let n = 0; n < 6; n++) {
      const { index, flags } = (await queue.next()).buffer;
      assert.equal(flags & BufferFlag.ERROR, 0);
      await queue.queue(index);
    }
  };

  it('OPEN answers EACCES, the stream goes on, the log says what to do; given back, OPEN works', async () => {
    const queue = await start();
    await goodFrames(queue);
    chmodSync(nodeNamed(CAMERA), 0);
    assert.equal(await errnoOf(driver.open()), Errno.EACCES);
    assert.equal(await errnoOf(driver.open()), Errno.EACCES);
    await goodFrames(queue);
    assert.ok(await eventually(() => said.includes('EACCES')), said);
    const lines = said.split('\n').filter((line) => line.includes('EACCES'));
    assert.equal(lines.length, 1, 'a line for each OPEN');
    assert.match(lines[0]!, /needs read and write permission on it again/);
    chmodSync(nodeNamed(CAMERA), 0o666);
    const session = await driver.open();
    await goodFrames(queue);
    await driver.close(session);
    await queue.off();
    await driver.close(queue.session);
    assert.deepEqual(driver.complaints, []);
  });

  it('lost while the device was away: EACCES for the one that came back, until it is given', async function () {
    await driver.close(await driver.open());
    unload(VIVID);
    assert.equal(await errnoOf(driver.open()), Errno.ENODEV);
    provide(this, VIVID);
    chmodSync(nodeNamed(CAMERA), 0o600);
    assert.equal(await errnoOf(driver.open()), Errno.EACCES);
    chmodSync(nodeNamed(CAMERA), 0o666);
    const queue = await start();
    await goodFrames(queue);
    await queue.off();
    await driver.close(queue.session);
    assert.deepEqual(driver.complaints, []);
  });
});
