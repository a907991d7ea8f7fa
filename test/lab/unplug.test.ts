/** A camera that disappears during a stream: another program of the host sets vivid's DISCONNECT. */
import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Errno } from '../../src/errno.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, format } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, Stage } from './support/stage.js';
import { VividControl } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1 no_error_inj=0';
const CAMERA = 'vivid-000-vid-cap';
const BUFFERS = 4;

describe('lab: a camera is unplugged', function () {
  this.timeout(60_000);
  let stage: Stage;
  let queue: GuestQueue;

  before(function () {
    provide(this, VIVID);
  });
  beforeEach(async () => {
    keepJournal();
    stage = await Stage.open(nodeNamed(CAMERA));
    queue = new GuestQueue(stage.driver, await stage.driver.open(), BufferType.VIDEO_CAPTURE);
    await queue.start(BUFFERS);
    await queue.next();
  });
  afterEach(async function () {
    showJournal(this.currentTest);
    await stage.close();
    provide(this, VIVID);
  });
  after(() => unload(VIVID));

  const unplug = () =>
    NativeNode.with(nodeNamed(CAMERA), async (node) => {
      // The control is a button. When the call returns, the node is gone, whatever the errno is.
      await node.setControl(VividControl.DISCONNECT, 1);
    });

  it('gives every queued buffer back within a second, the last ones marked ERROR', async () => {
    const started = performance.now();
    await unplug();
    const back = new Set<number>();
    let damaged = 0;
    while (back.size < BUFFERS - 1) {
      const { buffer } = await queue.next(1000);
      back.add(buffer.index);
      if (buffer.flags & BufferFlag.ERROR) damaged++;
    }
    assert.ok(performance.now() - started < 1000 + 500, 'buffers came back late');
    assert.ok(damaged > 0, 'no buffer said that the frame is damaged');
    assert.equal(stage.driver.waitingEvents(queue.session), 0);
    stage.verify();
  });

  it('answers ENODEV to every later command, and still closes', async () => {
    await unplug();
    for (let n = 0; n < BUFFERS - 1; n++) await queue.next(1000);
    const asked = stage.driver.call(queue.session, Ioctl.G_FMT, format, { type: queue.type });
    assert.equal(await errnoOf(asked), Errno.ENODEV);
    assert.equal(await errnoOf(queue.off()), Errno.ENODEV);
    assert.equal(await errnoOf(queue.request(2)), Errno.ENODEV);
    assert.equal(await errnoOf(stage.driver.mmap(queue.session, 0x1_0000)), Errno.ENODEV);
    await stage.driver.close(queue.session);
    stage.verify();
  });

  it('leaves what is mapped readable until it is unmapped', async () => {
    await unplug();
    for (let n = 0; n < BUFFERS - 1; n++) await queue.next(1000);
    const { driverAddress, length } = queue.mappings.get(0)![0]!;
    assert.equal(stage.driver.window(driverAddress, length).length, length);
    assert.ok(stage.driver.window(driverAddress, length).some((byte) => byte !== 0));
    await queue.unmap(0);
    stage.verify();
  });

  it('ends the sessions that do nothing too, refuses new ones, and the daemon goes on', async () => {
    const idle = await stage.driver.open();
    await unplug();
    for (let n = 0; n < BUFFERS - 1; n++) await queue.next(1000);
    const asked = stage.driver.call(idle, Ioctl.G_FMT, format, { type: queue.type });
    assert.equal(await errnoOf(asked), Errno.ENODEV);
    assert.notEqual(await errnoOf(stage.driver.open()), 0);
    await stage.driver.close(idle);
    assert.equal((await stage.frontEnd.readConfig()).card, 'vivid');
    stage.verify();
  });

  it('does not spin', async () => {
    await unplug();
    for (let n = 0; n < BUFFERS - 1; n++) await queue.next(1000);
    const before = process.cpuUsage();
    await sleep(1000);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 500_000, `${(user + system) / 1000} ms of CPU in a second of nothing`);
  });
});
