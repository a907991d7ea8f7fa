/** MMAP and MUNMAP as a Linux guest uses them: twice, too late, across REQBUFS(0) and CLOSE, and after a reset. */
import assert from 'node:assert/strict';
import { GuestDriver } from '../../src/client/guest-driver.js';
import type { VmmName } from '../../src/client/vmm-transcripts.js';
import { Errno } from '../../src/errno.js';
import type { MmapMode } from '../../src/media/memory/shared-memory.js';
import { MAP_ALIGNMENT } from '../../src/media/policy.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { errnoOf, onStage, Stage } from './support/stage.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const type = BufferType.VIDEO_CAPTURE;
const ways: readonly (readonly [MmapMode, VmmName])[] = [
  ['arena', 'qemu'],
  ['direct', 'crosvm'],
];

async function openQueue(driver: GuestDriver): Promise<GuestQueue> {
  const queue = new GuestQueue(driver, await driver.open(), type);
  await queue.setFormat('RGB3', 320, 180);
  return queue;
}

for (const [mmap, vmm] of ways)
  describe(`lab: mapping, ${mmap}`, function () {
    this.timeout(30_000);
    let stage: Stage;
    let driver: GuestDriver;
    let queue: GuestQueue;

    before(async function () {
      provide(this, VIVID);
      keepJournal();
      await showMovingBars(nodeNamed(CAMERA));
      stage = await Stage.open(nodeNamed(CAMERA), { frontEnd: { vmm }, serve: { mmap } });
      driver = stage.driver;
    });
    beforeEach(async () => {
      keepJournal();
      queue = await openQueue(driver);
    });
    afterEach(async function () {
      showJournal(this.currentTest);
      await driver.close(queue.session);
      stage.verify();
    });
    after(async () => {
      await stage?.close();
      unload(VIVID);
    });

    const mmapOffset = async (index: number) => (await queue.mmapOffsets(index))[0]!;
    /** Fills every buffer once. Returns the bytes of buffer 0. */
    const fill = async (count: number) => {
      await queue.start(count);
      for (let i = 0; i < count; i++) await queue.next();
      await queue.off();
      return Buffer.from(view(0));
    };
    const view = (index: number) => {
      const { driverAddress, length } = queue.mappings.get(index)![0]!;
      return driver.window(driverAddress, length);
    };

    it('addresses are aligned, lengths exact, buffers apart from each other', async () => {
      await queue.request(4);
      const taken: number[] = [];
      for (let index = 0; index < 4; index++) {
        const { length } = (await queue.query(index)).buffer;
        const mapping = await driver.mmap(queue.session, await mmapOffset(index));
        assert.equal(mapping.length, length);
        assert.equal(mapping.driverAddress % MAP_ALIGNMENT, 0);
        for (const other of taken) assert.ok(Math.abs(other - mapping.driverAddress) >= length);
        taken.push(mapping.driverAddress);
      }
    });

    it('the same buffer again: the same address; read-only changes nothing', async () => {
      await queue.request(2);
      const first = await driver.mmap(queue.session, await mmapOffset(0));
      assert.deepEqual(await driver.mmap(queue.session, await mmapOffset(0)), first);
      assert.deepEqual(await driver.mmap(queue.session, await mmapOffset(0), false), first);
      await driver.munmap(first.driverAddress);
      assert.deepEqual(await driver.mmap(queue.session, await mmapOffset(0)), first);
    });

    it('MUNMAP as after fork() and split(): more often than MMAP, and in the middle', async () => {
      await queue.request(2);
      const { driverAddress } = await driver.mmap(queue.session, await mmapOffset(0));
      await driver.munmap(driverAddress);
      await driver.munmap(driverAddress);
      await driver.munmap(driverAddress + 4096);
      assert.deepEqual((await driver.mmap(queue.session, await mmapOffset(0))).driverAddress, driverAddress);
    });

    it('an unknown address, offset or session: refused, and nothing happens', async () => {
      await queue.request(2);
      await queue.map(0);
      assert.equal(await errnoOf(driver.munmap(31 << 20)), Errno.EINVAL);
      assert.equal(await errnoOf(driver.munmap(2 ** 40)), Errno.EINVAL);
      for (const offset of [0, 4096, (await mmapOffset(0)) + 4096, 0xffff_0000])
        assert.equal(await errnoOf(driver.mmap(queue.session, offset)), Errno.EINVAL, `offset ${offset}`);
      const other = await driver.open();
      assert.equal(await errnoOf(driver.mmap(other, await mmapOffset(0))), Errno.EINVAL);
      await driver.close(other);
      assert.notEqual(await errnoOf(driver.mmap(4711, await mmapOffset(0))), 0);
      assert.ok(view(0).length > 0);
    });

    it('an offset of buffers that are gone: EINVAL', async () => {
      await queue.request(2);
      const stale = await mmapOffset(0);
      await queue.request(2);
      assert.equal(await errnoOf(driver.mmap(queue.session, stale)), Errno.EINVAL);
      const fresh = await mmapOffset(0);
      await queue.request(0);
      assert.equal(await errnoOf(driver.mmap(queue.session, fresh)), Errno.EINVAL);
    });

    it('REQBUFS(0) and new buffers leave a live mapping readable, unchanged, and to its owner alone', async () => {
      const bars = new MovingBars('RGB3', 320, 180);
      const picture = await fill(2);
      bars.shiftOf([picture], 'before');
      const old = [...queue.mappings.values()].flat();
      await queue.request(0);
      assert.ok(picture.equals(view(0)), 'the mapping shows something else after REQBUFS(0)');
      queue.mappings.clear();
      await fill(4);
      for (const { driverAddress } of old)
        for (const [fresh] of queue.mappings.values()) assert.notEqual(fresh!.driverAddress, driverAddress);
      const { driverAddress, length } = old[0]!;
      assert.ok(picture.equals(driver.window(driverAddress, length)), 'another stream wrote to it');
      for (const mapping of old) await driver.munmap(mapping.driverAddress);
      for (const mapping of old)
        assert.equal(await errnoOf(driver.munmap(mapping.driverAddress)), Errno.EINVAL, 'it is gone by now');
    });

    it('CLOSE leaves a live mapping readable until its MUNMAP', async () => {
      const picture = await fill(2);
      const { driverAddress, length } = queue.mappings.get(0)![0]!;
      await driver.close(queue.session);
      assert.ok(picture.equals(driver.window(driverAddress, length)));
      queue = await openQueue(driver);
      await fill(3);
      assert.ok(picture.equals(driver.window(driverAddress, length)), 'another session wrote to it');
      await driver.munmap(driverAddress);
      assert.equal(await errnoOf(driver.munmap(driverAddress)), Errno.EINVAL);
    });

    it('a region too small for the buffers: as many as fit, and all of it comes back', async () => {
      await driver.close(queue.session);
      await stage.close();
      const serve = { mmap, sharedMemorySize: 2 << 20 };
      stage = await Stage.open(nodeNamed(CAMERA), { frontEnd: { vmm }, serve });
      driver = stage.driver;
      queue = await openQueue(driver);
      const { count } = await queue.request(32);
      assert.equal(count, Math.floor((2 << 20) / (mmap === 'direct' ? 2 : 1) / (3 * MAP_ALIGNMENT)));
      await queue.release();
      await fill(count);
      await queue.release();
      await fill(4);
      await queue.release();
      for (let round = 0; round < 12; round++) {
        await queue.request(4);
        for (let index = 0; index < 4; index++) await queue.map(index);
        const dirty = [0, 1, 2, 3].filter((index) => view(index).some((byte) => byte !== 0));
        assert.deepEqual(dirty, [], 'a new buffer shows something of an older one');
        for (let index = 0; index < 4; index++) view(index).fill(0xdd);
        await queue.release();
      }
      const { sharedMemory } = stage.frontEnd;
      const kept = mmap === 'arena' ? 1 : 0;
      assert.ok(
        await eventually(() => sharedMemory.mappings.length === kept),
        'mappings are left in the VMM',
      );
    });

    it('after a reset of the device everything can be mapped anew', async () => {
      await fill(2);
      await stage.frontEnd.reset();
      driver.remove();
      stage.driver = await GuestDriver.probe(stage.frontEnd);
      driver = stage.driver;
      queue = await openQueue(driver);
      new MovingBars('RGB3', 320, 180).shiftOf([await fill(3)], 'after the reset');
    });
  });

describe('lab: mapping without shared memory', function () {
  this.timeout(30_000);
  before(function () {
    provide(this, VIVID);
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  it('buffers exist, frames come, MMAP is refused', () =>
    onStage(nodeNamed(CAMERA), { frontEnd: { vmm: 'cloud-hypervisor' } }, async ({ driver }) => {
      const queue = await openQueue(driver);
      await queue.request(2);
      for (let index = 0; index < 2; index++) {
        const [mmapOffset] = await queue.mmapOffsets(index);
        assert.equal(await errnoOf(driver.mmap(queue.session, mmapOffset!)), Errno.EINVAL);
        await queue.queue(index);
      }
      await queue.on();
      assert.equal((await queue.next()).buffer.bytesused, 320 * 180 * 3);
      await queue.off();
    }));
});
