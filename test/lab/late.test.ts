/** Ioctls that end later than their command is answered: each runs once, and the next try gets its result. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { Errno } from '../../src/errno.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, buffer, format, Memory, pixFormat } from '../../src/v4l2/layout.js';
import { Bridge } from '../vmm/support/bridge.js';
import { CuseNode } from './support/cuse-node.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { errnoOf, onStage } from './support/stage.js';
import { KeptCommand } from './support/watched-command.js';

const type = BufferType.VIDEO_CAPTURE;
const [WIDTH, HEIGHT] = [64, 32];
/** Milliseconds of an ioctl of a camera whose firmware sets a mode: longer than a command may wait. */
const SLOW_MS = 4200;
const RETRY_MS = 50;
/** Milliseconds: the Linux driver gives up after the first; the bridge is stopped for the second. */
const GUEST_PATIENCE_MS = 5000;
const STALL_MS = 6000;

describe('lab: what ends late', function () {
  this.timeout(60_000);
  let node: CuseNode;

  before(async function () {
    node = await CuseNode.make(this);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
    return node.heal();
  });
  after(() => node?.end());

  /**
   * From now on the ioctl takes SLOW_MS, and the command is refused after 4 s. Returns the errno of each try, up to the
   * first that is not ETIMEDOUT.
   */
  async function tries(held: number, ask: () => Promise<unknown>): Promise<number[]> {
    const before = node.held;
    await node.hold(held);
    const first = errnoOf(ask());
    await node.waits(1, before);
    const slow = sleep(SLOW_MS).then(() => node.heal());
    const answers = [await first];
    while (answers.at(-1) === Errno.ETIMEDOUT) {
      answers.push(await errnoOf(ask()));
      await sleep(RETRY_MS);
    }
    await slow;
    assert.equal(node.held, before + 1, 'how often the node was asked while it was slow');
    return answers;
  }

  it('S_FMT of 4.2 s: ETIMEDOUT, and the next try has its answer', () =>
    onStage(node.path, {}, async ({ driver }) => {
      const session = await driver.open();
      const fmt = encoded(pixFormat, { width: WIDTH, height: HEIGHT });
      let answer: Buffer = Buffer.alloc(0);
      const answers = await tries(Ioctl.S_FMT, async () => {
        answer = await driver.ioctl(session, Ioctl.S_FMT, encoded(format, { type, fmt }));
      });
      assert.deepEqual([answers[0], answers.at(-1)], [Errno.ETIMEDOUT, 0]);
      assert.ok(answers.length > 2, 'it was tried while it was under way, too');
      assert.equal(pixFormat.read(format.read(answer).fmt).sizeimage, WIDTH * HEIGHT);
    }));

  it('STREAMON and QBUF of 4.2 s: the stream has every buffer, and every frame comes once', () =>
    onStage(node.path, {}, async ({ driver }) => {
      const queue = new GuestQueue(driver, await driver.open(), type);
      await queue.setFormat('GREY', WIDTH, HEIGHT);
      await queue.request(3);
      for (const index of [0, 1]) await queue.queue(index);
      const on = await tries(Ioctl.STREAMON, () => queue.on());
      const record = encoded(buffer, { type, memory: Memory.MMAP, index: 2 });
      const queued = await tries(Ioctl.QBUF, () => driver.ioctl(queue.session, Ioctl.QBUF, record));
      for (const answers of [on, queued])
        assert.deepEqual([answers[0], answers.at(-1)], [Errno.ETIMEDOUT, 0]);
      const seen = [];
      for (let n = 0; n < 3; n++) seen.push((await queue.next()).buffer.index);
      assert.deepEqual(seen, [0, 1, 2]);
      await queue.off();
    }));

  it('a process that is stopped for longer than the guest waits (SIGSTOP) writes nothing and gives nothing back; then all goes on', async () => {
    const bridge = await Bridge.serve(node.path);
    const frontEnd = await Vmm.connect(bridge.socket);
    const driver = await GuestDriver.probe(frontEnd, { concurrent: true, timeout: 30_000 });
    try {
      const session = await driver.open();
      const ask = () => errnoOf(driver.ioctl(session, Ioctl.G_FMT, encoded(format, { type })));
      const before = node.held;
      await node.hold(Ioctl.G_FMT);
      const sent = KeptCommand.ioctl(driver, session, Ioctl.G_FMT, encoded(format, { type }));
      let isBack = false;
      void sent.answer.then(
        () => {
          isBack = true;
        },
        () => undefined,
      );
      await node.waits(1, before);
      bridge.program.signal('SIGSTOP');
      await sleep(GUEST_PATIENCE_MS);
      // The driver has given up, so the memory is used for something else.
      sent.reuse();
      await node.heal();
      await sleep(STALL_MS - GUEST_PATIENCE_MS);
      bridge.program.signal('SIGCONT');
      // ETIMEDOUT: the event loop does not know yet that the ioctl has ended.
      let first = await ask();
      for (; first === Errno.ETIMEDOUT; first = await ask()) await sleep(RETRY_MS);
      assert.equal(first, 0);
      // One chain of the ring never comes back. Stop and start the ring with it.
      await frontEnd.stop();
      await frontEnd.start();
      assert.equal(await ask(), 0);
      sent.verify();
      assert.equal(isBack, false);
      assert.deepEqual(driver.complaints, []);
    } finally {
      driver.remove();
      frontEnd.close();
      await bridge.close();
    }
  });
});
