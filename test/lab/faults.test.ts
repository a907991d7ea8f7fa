/**
 * Drivers that fail during operation: vivid does it on command. The guest must get the results that a program of the
 * host gets.
 */
import assert from 'node:assert/strict';
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { Errno } from '../../src/errno.js';
import { BufferFlag, BufferType } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { isFree, NativeNode } from './support/native-node.js';
import { errnoOf, Stage } from './support/stage.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

const VIVID = 'vivid n_devs=2 node_types=0x1,0x1 allocators=0,1 no_error_inj=0';
const type = BufferType.VIDEO_CAPTURE;
/** Buttons: the next call of that kind fails. */
const Inject = {
  DROPPED: 0x00f0_f040,
  FRAME_ERROR: 0x00f0_f042,
  REQBUFS: 0x00f0_f043,
  QBUF: 0x00f0_f044,
  STREAMON: 0x00f0_f045,
  QUEUE_ERROR: 0x00f0_f046,
} as const;

for (const [name, camera] of [
  ['on USERPTR', 'vivid-000-vid-cap'],
  ['copied', 'vivid-001-vid-cap'],
] as const)
  describe(`lab: faults of a driver, buffers ${name}`, function () {
    this.timeout(30_000);
    let stage: Stage;
    let driver: GuestDriver;
    let queue: GuestQueue;
    let node: NativeNode;

    before(async function () {
      provide(this, VIVID);
      keepJournal();
      await showMovingBars(nodeNamed(camera));
      node = await NativeNode.open(nodeNamed(camera));
      stage = await Stage.open(nodeNamed(camera));
      driver = stage.driver;
    });
    beforeEach(async () => {
      keepJournal();
      queue = new GuestQueue(driver, await driver.open(), type);
      await queue.setFormat('RGB3', 320, 180);
      await queue.setRate(30);
    });
    afterEach(async function () {
      showJournal(this.currentTest);
      await driver.close(queue.session);
      stage.verify();
    });
    after(async () => {
      await node?.close();
      await stage?.close();
      unload(VIVID);
    });

    const inject = (what: number) => node.setControl(what, 1);
    /** Takes `count` good frames and queues each buffer again. */
    const goodFrames = async (count: number) => {
      const sequences: number[] = [];
      const bars = new MovingBars('RGB3', 320, 180);
      for (let i = 0; i < count; i++) {
        const frame = await queue.next();
        assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
        bars.shiftOf(queue.bytes(frame), `frame ${frame.buffer.sequence}`);
        sequences.push(frame.buffer.sequence);
        await queue.queue(frame.buffer.index);
      }
      return sequences;
    };

    it('a damaged frame says so, and the stream goes on', async () => {
      await queue.start(4);
      await goodFrames(2);
      await inject(Inject.FRAME_ERROR);
      let damaged = 0;
      for (let i = 0; damaged === 0 && i < 10; i++) {
        const { index, flags } = (await queue.next()).buffer;
        if (flags & BufferFlag.ERROR) damaged++;
        await queue.queue(index);
      }
      assert.equal(damaged, 1);
      await goodFrames(4);
      await queue.off();
    });

    it('REQBUFS fails once, and leaves nothing behind', async () => {
      await inject(Inject.REQBUFS);
      const own = await node.request(2, type);
      assert.notEqual(own, 0);
      await inject(Inject.REQBUFS);
      const errno = await errnoOf(queue.request(2));
      // The bridge may call the driver several times, so the injected fault may not show. If REQBUFS is refused, the
      // errno must be the driver's.
      assert.ok(errno === 0 || errno === own, `errno ${errno}`);
      await queue.request(0);
      assert.equal(await isFree(nodeNamed(camera), type), true);
      await queue.start(3);
      await goodFrames(3);
      await queue.off();
    });

    it('QBUF fails once: the buffer stays the guest’s, and is taken the next time', async () => {
      await queue.request(2);
      await inject(Inject.QBUF);
      assert.equal(await errnoOf(queue.queue(0)), Errno.EINVAL);
      assert.equal((await queue.query(0)).buffer.flags & BufferFlag.QUEUED, 0);
      await queue.queue(0);
      await queue.queue(1);
      await queue.on();
      assert.deepEqual([(await queue.next()).buffer.index, (await queue.next()).buffer.index], [0, 1]);
      await queue.off();
    });

    it('STREAMON fails once: no frame comes, and the next one works with the same buffers', async () => {
      await queue.request(3);
      for (let index = 0; index < 3; index++) {
        await queue.map(index);
        await queue.queue(index);
      }
      await inject(Inject.STREAMON);
      const errno = await errnoOf(queue.on());
      assert.equal(errno, Errno.EINVAL);
      assert.equal(await errnoOf(driver.nextEvent(queue.session, 200)), Errno.ETIMEDOUT);
      await queue.on();
      await goodFrames(4);
      await queue.off();
    });

    it('the driver gives up on the queue: buffers come back with ERROR, QBUF is EIO, STREAMOFF heals', async () => {
      await queue.start(4);
      await goodFrames(2);
      await inject(Inject.QUEUE_ERROR);
      const back = new Set<number>();
      let damaged = 0;
      while (back.size < 4) {
        const { index, flags } = (await queue.next(2000)).buffer;
        back.add(index);
        if (flags & BufferFlag.ERROR) damaged++;
      }
      assert.ok(damaged > 0, 'no buffer says that it failed');
      assert.equal(await errnoOf(queue.queue(0)), Errno.EIO);
      const before = process.cpuUsage();
      assert.equal(
        await errnoOf(driver.nextEvent(queue.session, 500)),
        Errno.ETIMEDOUT,
        'more than was queued',
      );
      const { user, system } = process.cpuUsage(before);
      assert.ok(user + system < 250_000, `${(user + system) / 1000} ms of CPU while nothing happened`);
      await queue.off();
      for (let index = 0; index < 4; index++) await queue.queue(index);
      await queue.on();
      await goodFrames(4);
      await queue.off();
    });

    it('a driver that drops most frames: what comes is right, and the count has gaps', async () => {
      await node.setControl(Inject.DROPPED, 70);
      try {
        await queue.start(4);
        const sequences = await goodFrames(12);
        assert.ok(sequences.at(-1)! - sequences[0]! > 11, `${sequences}`);
        await queue.off();
      } finally {
        await node.setControl(Inject.DROPPED, 0);
      }
    });
  });
