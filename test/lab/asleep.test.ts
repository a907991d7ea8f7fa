/** A driver that answers ENODEV for a part that is asleep, while its node is there; and a node that is really gone. */
import assert from 'node:assert/strict';
import { Errno } from '../../src/errno.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, format } from '../../src/v4l2/layout.js';
import { CuseNode } from './support/cuse-node.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { errnoOf, Stage } from './support/stage.js';

const BUFFERS = 3;

describe('lab: a driver says ENODEV', function () {
  this.timeout(30_000);
  let node: CuseNode;
  let stage: Stage;
  let queue: GuestQueue;

  beforeEach(async function () {
    keepJournal();
    node = await CuseNode.make(this);
    stage = await Stage.open(node.path);
    queue = new GuestQueue(stage.driver, await stage.driver.open(), BufferType.VIDEO_CAPTURE);
    await queue.setFormat('GREY', 64, 32);
    await queue.start(BUFFERS);
    await queue.next();
  });
  afterEach(async function () {
    showJournal(this.currentTest);
    await stage?.close();
    await node?.end();
  });

  const readFormat = () =>
    errnoOf(stage.driver.call(queue.session, Ioctl.G_FMT, format, { type: queue.type }));

  it('to one ioctl: the guest gets it, the stream and the session go on', async () => {
    await node.refuse(Ioctl.S_FMT, Errno.ENODEV);
    for (let n = 0; n < 3; n++) {
      assert.equal(await errnoOf(queue.setFormat('GREY', 64, 32)), Errno.ENODEV);
      assert.equal(await readFormat(), 0);
    }
    await queue.queue(0);
    for (let n = 0; n < BUFFERS; n++) {
      const { buffer } = await queue.next();
      assert.equal(buffer.flags & BufferFlag.ERROR, 0);
      await queue.queue(buffer.index);
    }
    await node.heal();
    await queue.setFormat('GREY', 64, 32);
    stage.verify();
  });

  it('and poll says that the node is gone: buffers come back with ERROR, and the session ends', async () => {
    await node.unregister();
    assert.equal(await readFormat(), Errno.ENODEV);
    let damaged = 0;
    for (let n = 0; n < BUFFERS - 1; n++) {
      const { buffer } = await queue.next();
      if (buffer.flags & BufferFlag.ERROR) damaged++;
    }
    assert.ok(damaged > 0);
    await node.heal();
    assert.equal(await readFormat(), Errno.ENODEV);
    stage.verify();
  });
});
