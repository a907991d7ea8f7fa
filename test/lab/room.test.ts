/**
 * Programs that ask for more buffers than there is room for, on real queues: they get as many as fit, all of which stream, and
 * the kernel has no more than the guest.
 */
import assert from 'node:assert/strict';
import { policyOf } from '../../src/cli/policy.js';
import { Errno } from '../../src/errno.js';
import { MAP_ALIGNMENT, MAX_BUFFERS } from '../../src/media/policy.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { errnoOf, onStage, type Stage, type StageOptions } from './support/stage.js';

/** The second and the fourth camera have no USERPTR. The last two are multi-planar. */
const VIVID = 'vivid n_devs=4 node_types=0x1,0x1,0x1,0x1 allocators=0,1,0,1 multiplanar=1,1,2,2';
const ways = [
  { name: 'on USERPTR', camera: 0, vmm: 'qemu' },
  { name: 'copied', camera: 1, vmm: 'qemu' },
  { name: 'exported', camera: 0, vmm: 'crosvm' },
  { name: 'on USERPTR, multi-planar', camera: 2, vmm: 'qemu' },
  { name: 'copied, multi-planar', camera: 3, vmm: 'qemu' },
  { name: 'exported, multi-planar', camera: 2, vmm: 'crosvm' },
] as const;
const REGION = 4 << 20;
/** ffmpeg asks for so many. */
const MANY = 256;

for (const { name, camera, vmm } of ways)
  describe(`lab: room for buffers ${name}`, function () {
    this.timeout(30_000);
    const isMultiplanar = camera >= 2;
    const type = isMultiplanar ? BufferType.VIDEO_CAPTURE_MPLANE : BufferType.VIDEO_CAPTURE;

    before(function () {
      provide(this, VIVID);
    });
    beforeEach(keepJournal);
    afterEach(function () {
      showJournal(this.currentTest);
    });
    after(() => unload(VIVID));

    const onCamera = (
      serve: Partial<StageOptions['serve']>,
      play: (queue: GuestQueue, stage: Stage) => Promise<void>,
    ) =>
      onStage(nodeNamed(`vivid-00${camera}-vid-cap`), { frontEnd: { vmm }, serve }, async (stage) => {
        await play(await openQueue(stage), stage);
      });

    async function openQueue({ driver }: Stage): Promise<GuestQueue> {
      const queue = new GuestQueue(driver, await driver.open(), type);
      await queue.setFormat(isMultiplanar ? 'NM12' : 'YUYV', 320, 180);
      await queue.setRate(30);
      return queue;
    }

    /** Bytes of SHM region 0 that a buffer takes. */
    const span = ({ format }: GuestQueue) =>
      format.planes.reduce(
        (sum, { sizeimage }) => sum + Math.ceil(sizeimage / MAP_ALIGNMENT) * MAP_ALIGNMENT,
        0,
      );
    /** As many buffers as a region has room for. Half of it is for planes that are mapped directly. */
    const fitting = (queue: GuestQueue, bytes: number) =>
      Math.floor((vmm === 'crosvm' ? bytes / 2 : bytes) / span(queue));

    /** The guest has buffers 0 to `count` - 1, and the kernel no other one. All of them stream. */
    async function verify(queue: GuestQueue, count: number): Promise<void> {
      for (let index = 0; index < count; index++) await queue.map(index);
      assert.equal(await errnoOf(queue.query(count)), Errno.EINVAL);
      for (let index = 0; index < count; index++) await queue.queue(index);
      await queue.on();
      const seen = new Set<number>();
      while (seen.size < count) {
        const { buffer } = await queue.next();
        seen.add(buffer.index);
      }
      await queue.off();
      for (const index of [...queue.mappings.keys()]) await queue.unmap(index);
    }

    it('256 buffers of REQBUFS and of CREATE_BUFS: as many as fit SHM region 0', () =>
      onCamera({ sharedMemorySize: REGION }, async (queue) => {
        const most = fitting(queue, REGION);
        assert.ok(most > 4 && most < MAX_BUFFERS, `${most}: the test says nothing`);
        assert.equal((await queue.request(MANY)).count, most);
        await verify(queue, most);
        assert.equal(await errnoOf(queue.create(1)), Errno.ENOMEM);
        await queue.release();
        assert.equal((await queue.request(3)).count, 3);
        const { index, count } = await queue.create(MANY);
        assert.deepEqual([index, count], [3, most - 3]);
        await verify(queue, most);
        await queue.release();
        assert.equal((await queue.request(MANY)).count, most, 'all of it is there again');
        await verify(queue, most);
        await queue.release();
      }));

    it('256 buffers where there is room for all: as many as the policy and the kernel allow', () =>
      onCamera({ sharedMemorySize: 64 << 20 }, async (queue) => {
        const { count } = await queue.request(MANY);
        assert.ok(count >= 32 && count <= MAX_BUFFERS, `${count}`);
        await verify(queue, count);
        await queue.release();
      }));

    it('bytes of the policy: as many as fit, and the host never has more', () => {
      const bytes = 1_000_000;
      return onCamera({ policy: policyOf({ 'max-buffer-bytes': `${bytes}` }) }, async (queue) => {
        const each = queue.format.planes.reduce((sum, { sizeimage }) => sum + sizeimage, 0);
        const most = Math.floor(bytes / each);
        assert.equal((await queue.request(MANY)).count, most);
        await verify(queue, most);
        assert.equal(await errnoOf(queue.create(1)), Errno.ENOMEM);
        await queue.release();
      });
    });

    it('mappings that the guest still has are in the way until it unmaps them', () =>
      onCamera({ sharedMemorySize: REGION }, async (queue, stage) => {
        const most = fitting(queue, REGION);
        await queue.request(most);
        for (const index of [0, 1]) await queue.map(index);
        const held = [...queue.mappings.values()].flat();
        queue.mappings.clear();
        const { count } = await queue.request(MANY);
        assert.equal(count, most - 2);
        await verify(queue, count);
        for (const { driverAddress } of held) await stage.driver.munmap(driverAddress);
        assert.equal((await queue.request(MANY)).count, most);
        await verify(queue, most);
        await queue.release();
      }));

    it('two sessions share the region, and what one has freed the other gets', () =>
      onCamera({ sharedMemorySize: REGION }, async (queue, stage) => {
        const most = fitting(queue, REGION);
        await queue.request(most - 3);
        await queue.map(0);
        // vivid's queue belongs to one file at a time: only mappings are left of the first.
        await queue.request(0);
        const other = await openQueue(stage);
        assert.equal((await other.request(MANY)).count, most - 1);
        await verify(other, most - 1);
        await other.release();
        await queue.unmap(0);
        assert.equal((await other.request(MANY)).count, most);
        await other.release();
      }));
  });

describe('lab: room for the buffers of two sessions', function () {
  this.timeout(30_000);
  before(function () {
    provide(this, 'vim2m');
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload('vim2m'));

  for (const vmm of ['qemu', 'crosvm'] as const)
    it(`${vmm}: both ask for more than is left at the same time, and the kernel makes no buffer that neither gets`, () => {
      const options = { frontEnd: { vmm }, serve: { sharedMemorySize: REGION }, lane: { concurrent: true } };
      return onStage(nodeNamed('vim2m'), options, async ({ driver }) => {
        const open = async () => {
          const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
          await queue.setFormat('RGBP', 320, 240);
          assert.equal((await queue.request(2)).count, 2);
          return queue;
        };
        const [one, two] = [await open(), await open()];
        const units = Math.ceil(one.format.planes[0]!.sizeimage / MAP_ALIGNMENT);
        const most = Math.floor((vmm === 'crosvm' ? REGION / 2 : REGION) / (units * MAP_ALIGNMENT));
        const wanted = Math.ceil((2 * (most - 4)) / 3);
        for (let round = 0; round < 10; round++) {
          const [first, second] = await Promise.all([one, two].map((queue) => queue.create(wanted)));
          assert.deepEqual([first!.index, second!.index], [2, 2]);
          assert.equal(first!.count + second!.count, most - 4);
          for (const [queue, { count }] of [
            [one, first!],
            [two, second!],
          ] as const) {
            for (let index = 0; index < 2 + count; index++) await queue.map(index);
            assert.equal(await errnoOf(queue.query(2 + count)), Errno.EINVAL);
          }
          await two.release();
          const { index } = await one.create(1);
          assert.equal(index, 2 + first!.count, 'the kernel has no buffer that the guest has not');
          await one.release();
          for (const queue of [one, two]) assert.equal((await queue.request(2)).count, 2);
        }
        for (const queue of [one, two]) await queue.release();
      });
    });
});
