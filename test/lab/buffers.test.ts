/**
 * REQBUFS, CREATE_BUFS, QUERYBUF, PREPARE_BUF and QBUF on a real vb2 queue: counts, capabilities, flags and refusals.
 */
import assert from 'node:assert/strict';
import { DriverError } from '../../src/client/driver-error.js';
import { readImageFormat } from '../../src/client/image-format.js';
import { Errno } from '../../src/errno.js';
import { MAX_BUFFERS } from '../../src/media/policy.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import {
  BufferCapability,
  BufferFlag,
  BufferType,
  buffer as bufferRecord,
  createBuffers,
  Memory,
  requestBuffers,
} from '../../src/v4l2/layout.js';
import { memoryTaken } from './support/available-memory.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { formatRequest, GuestQueue, sized } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, Stage } from './support/stage.js';

/** The second camera has no USERPTR. */
const VIVID = 'vivid n_devs=2 node_types=0x1,0x1 allocators=0,1 cache_hints=1,1';
const ways = [
  { name: 'on USERPTR', camera: 'vivid-000-vid-cap', vmm: 'qemu', hints: false },
  { name: 'copied', camera: 'vivid-001-vid-cap', vmm: 'qemu', hints: false },
  { name: 'exported', camera: 'vivid-000-vid-cap', vmm: 'crosvm', hints: true },
] as const;
const type = BufferType.VIDEO_CAPTURE;
const { PREPARED, QUEUED, DONE, MAPPED, NO_CACHE_CLEAN, NO_CACHE_INVALIDATE } = BufferFlag;
/** V4L2_MEMORY_FLAG_NON_COHERENT. */
const NON_COHERENT = 1;
const UNKNOWN_INDEX = 999;

for (const { name, camera, vmm, hints } of ways)
  describe(`lab: buffers ${name}`, function () {
    this.timeout(30_000);
    let stage: Stage;
    let queue: GuestQueue;

    before(async function () {
      provide(this, VIVID);
      keepJournal();
      stage = await Stage.open(nodeNamed(camera), { frontEnd: { vmm } });
    });
    beforeEach(async () => {
      keepJournal();
      queue = new GuestQueue(stage.driver, await stage.driver.open(), type);
      await queue.setFormat('RGB3', 320, 180);
    });
    afterEach(async function () {
      showJournal(this.currentTest);
      await stage.driver.close(queue.session);
      stage.verify();
    });
    after(async () => {
      await stage?.close();
      unload(VIVID);
    });

    const native = <T>(use: (node: NativeNode) => Promise<T>) => NativeNode.with(nodeNamed(camera), use);

    it('both say MMAP only, and otherwise what the driver says', async () => {
      const own = await native(async (node) => {
        const { capabilities } = await node.call(Ioctl.REQBUFS, requestBuffers, {
          count: 2,
          type,
          memory: Memory.MMAP,
        });
        const format = formatRequest(type, 'RGB3', 320, 180);
        const made = await node.call(Ioctl.CREATE_BUFS, createBuffers, {
          count: 0,
          memory: Memory.MMAP,
          format,
        });
        return { capabilities, made };
      });
      const { USERPTR, DMABUF, REQUESTS, MMAP_CACHE_HINTS, REMOVE_BUFS } = BufferCapability;
      const absent = USERPTR | DMABUF | REQUESTS | REMOVE_BUFS | (hints ? 0 : MMAP_CACHE_HINTS);
      assert.ok(own.capabilities & MMAP_CACHE_HINTS);
      const masked = own.capabilities & ~absent;
      assert.notEqual(masked, own.capabilities, 'this driver has nothing to mask: the test says nothing');
      const requested = await queue.request(2);
      assert.equal(requested.capabilities, masked);
      assert.equal(requested.memory, Memory.MMAP);
      const created = await queue.create(1);
      assert.equal(created.capabilities, own.made.capabilities & ~absent);
      assert.equal(created.memory, Memory.MMAP);
      assert.equal(created.maxNumBuffers, Math.min(own.made.maxNumBuffers, MAX_BUFFERS));
    });

    it(`cache hints ${hints ? 'are the driver’s' : 'are cleared'}, where they are asked for and where they are told`, async () => {
      const asked = { count: 1, type, memory: Memory.MMAP, flags: NON_COHERENT };
      const call = stage.driver.call.bind(stage.driver, queue.session);
      const kept = hints ? NON_COHERENT : 0;
      assert.equal((await call(Ioctl.REQBUFS, requestBuffers, asked)).flags, kept);
      const more = { count: 1, memory: Memory.MMAP, format: queue.formatBytes, flags: NON_COHERENT };
      assert.equal((await call(Ioctl.CREATE_BUFS, createBuffers, more)).flags, kept);
      const coherent = errnoOf(call(Ioctl.CREATE_BUFS, createBuffers, { ...more, flags: 0 }));
      assert.equal(await coherent, hints ? Errno.EINVAL : 0, 'a queue has memory of one kind');
      const noCache = NO_CACHE_CLEAN | NO_CACHE_INVALIDATE;
      const { buffer } = await queue.queue(0, { flags: noCache });
      assert.equal(buffer.flags & noCache, hints ? noCache : 0);
      assert.equal((await queue.query(0)).buffer.flags & noCache, hints ? noCache : 0);
    });

    it('REQBUFS again replaces the buffers; REQBUFS(0) frees them for others', async () => {
      for (const count of [4, 2, 7]) {
        assert.equal((await queue.request(count)).count, count);
        await queue.query(count - 1);
        assert.equal(await errnoOf(queue.query(count)), Errno.EINVAL);
        assert.equal(await native((node) => node.request(2, type)), Errno.EBUSY);
      }
      assert.equal((await queue.request(0)).count, 0);
      assert.equal(await errnoOf(queue.query(0)), Errno.EINVAL);
      assert.equal(await native((node) => node.request(2, type)), 0);
    });

    it('REQBUFS of far too many gives what the driver and the limit allow', async () => {
      const most = await native(
        async (node) =>
          (await node.call(Ioctl.REQBUFS, requestBuffers, { count: 1000, type, memory: Memory.MMAP })).count,
      );
      assert.equal((await queue.request(1000)).count, Math.min(most, MAX_BUFFERS));
    });

    it('a full queue has no room: as natively', async () => {
      const own = await native(async (node) => {
        await node.call(Ioctl.REQBUFS, requestBuffers, { count: 1000, type, memory: Memory.MMAP });
        const wanted = { count: 1, memory: Memory.MMAP, format: queue.formatBytes };
        return (await node.ioctl(Ioctl.CREATE_BUFS, encoded(createBuffers, wanted))).errno;
      });
      assert.notEqual(own, 0);
      const { count } = await queue.request(1000);
      assert.equal(await errnoOf(queue.create(1)), own);
      assert.equal((await queue.query(count - 1)).buffer.index, count - 1);
      assert.equal((await queue.create(0)).index, count);
    });

    it('CREATE_BUFS of none says where the next would be, and makes none', async () => {
      const first = await queue.create(0);
      assert.deepEqual([first.index, first.count], [0, 0]);
      assert.equal(await errnoOf(queue.query(0)), Errno.EINVAL);
      assert.equal(await native((node) => node.request(2, type)), 0, 'nothing is held');
      await queue.request(3);
      assert.deepEqual([(await queue.create(0)).index], [3]);
      assert.equal(await errnoOf(queue.query(3)), Errno.EINVAL);
    });

    it('CREATE_BUFS goes on where the queue ends, also with larger buffers; all of them stream', async () => {
      assert.equal((await queue.create(2)).index, 0);
      const { sizeimage } = readImageFormat(queue.formatBytes, false).planes[0]!;
      const more = await queue.create(2, sized(queue.formatBytes, sizeimage * 2));
      assert.deepEqual([more.index, more.count], [2, 2]);
      const lengths: number[] = [];
      for (let index = 0; index < 4; index++) {
        lengths.push((await queue.query(index)).buffer.length);
        await queue.map(index);
        assert.equal(queue.mappings.get(index)![0]!.length, lengths.at(-1));
        await queue.queue(index);
      }
      assert.ok(lengths[0]! >= sizeimage && lengths[2]! >= sizeimage * 2, `lengths ${lengths}`);
      await queue.on();
      const seen = new Set<number>();
      while (seen.size < 4) {
        const frame = await queue.next();
        assert.equal(frame.buffer.bytesused, sizeimage);
        seen.add(frame.buffer.index);
      }
      await queue.off();
    });

    it('CREATE_BUFS with buffers too small for the format: EINVAL, as natively', async () => {
      const { sizeimage } = readImageFormat(queue.formatBytes, false).planes[0]!;
      const format = sized(queue.formatBytes, sizeimage / 2);
      const own = await native((node) =>
        node.ioctl(Ioctl.CREATE_BUFS, encoded(createBuffers, { count: 1, memory: Memory.MMAP, format })),
      );
      assert.equal(own.errno, Errno.EINVAL);
      assert.equal(await errnoOf(queue.create(1, format)), Errno.EINVAL);
      assert.equal((await queue.request(2)).count, 2, 'nothing is left behind');
    });

    it('CREATE_BUFS of more than a session may have: ENOMEM, and the host never allocates it', async () => {
      const asked = () => errnoOf(queue.create(8, sized(queue.formatBytes, 0x6000_0000)));
      const { value, taken } = await memoryTaken(asked);
      assert.equal(value, Errno.ENOMEM);
      assert.ok(taken < 200_000, `${taken} KiB were taken`);
      assert.equal((await queue.request(2)).count, 2);
    });

    it('other memory types are refused everywhere, with count 0 too', async () => {
      for (const memory of [0, Memory.USERPTR, Memory.OVERLAY, Memory.DMABUF, 77]) {
        assert.equal(await errnoOf(queue.request(2, memory)), Errno.EINVAL);
        assert.equal(await errnoOf(queue.request(0, memory)), Errno.EINVAL);
        assert.equal(await errnoOf(queue.create(2, queue.formatBytes, memory)), Errno.EINVAL);
        assert.equal(await errnoOf(queue.create(0, queue.formatBytes, memory)), Errno.EINVAL);
      }
      await queue.request(2);
      for (const memory of [Memory.USERPTR, Memory.DMABUF])
        for (const nr of [Ioctl.QBUF, Ioctl.PREPARE_BUF])
          assert.equal(await errnoOf(queue.buffer(nr, 0, { memory })), Errno.EINVAL);
      const flags = BufferFlag.REQUEST_FD;
      assert.equal(await errnoOf(queue.queue(0, { flags, requestFd: 1 })), Errno.EINVAL);
    });

    it('a wrong or overlay buffer type: EINVAL', async () => {
      const wrong = new GuestQueue(stage.driver, queue.session, BufferType.VIDEO_OUTPUT);
      for (const other of [
        BufferType.VIDEO_CAPTURE_MPLANE,
        BufferType.VIDEO_OVERLAY,
        BufferType.META_CAPTURE,
        0,
        99,
      ]) {
        const asked = new GuestQueue(stage.driver, queue.session, other);
        assert.equal(await errnoOf(asked.request(2)), Errno.EINVAL, `REQBUFS of type ${other}`);
        assert.equal(await errnoOf(asked.request(0)), Errno.EINVAL, `REQBUFS(0) of type ${other}`);
        assert.equal(await errnoOf(asked.on()), Errno.EINVAL, `STREAMON of type ${other}`);
        assert.equal(await errnoOf(asked.off()), Errno.EINVAL, `STREAMOFF of type ${other}`);
      }
      assert.equal(await errnoOf(wrong.query(0)), Errno.EINVAL);
    });

    it('flags: MAPPED follows the guest, PREPARED and QUEUED follow the driver', async () => {
      await queue.request(2);
      const flags = async () => (await queue.query(0)).buffer.flags & (MAPPED | PREPARED | QUEUED | DONE);
      assert.equal(await flags(), 0);
      await queue.map(0);
      assert.equal(await flags(), MAPPED);
      assert.equal((await queue.prepare(0)).buffer.flags & (PREPARED | QUEUED), PREPARED);
      assert.equal(await flags(), MAPPED | PREPARED);
      assert.equal(await errnoOf(queue.prepare(0)), Errno.EINVAL, 'prepared already');
      assert.equal((await queue.queue(0)).buffer.flags & QUEUED, QUEUED);
      assert.equal((await flags()) & (MAPPED | QUEUED), MAPPED | QUEUED);
      assert.equal(await errnoOf(queue.queue(0)), Errno.EINVAL, 'queued already');
      await queue.unmap(0);
      assert.equal((await flags()) & MAPPED, 0);
    });

    it('offsets are cookies: multiples of 64 KiB, never one twice, the same in every answer', async () => {
      const seen = new Set<number>();
      for (let round = 0; round < 3; round++) {
        await queue.request(4);
        for (let index = 0; index < 4; index++) {
          const [mmapOffset] = await queue.mmapOffsets(index);
          assert.equal(mmapOffset! % 0x1_0000, 0);
          assert.ok(mmapOffset! > 0 && !seen.has(mmapOffset!), `mmap offset ${mmapOffset}`);
          seen.add(mmapOffset!);
          const prepared = Buffer.from((await queue.prepare(index)).buffer.m).readUInt32LE();
          const queued = Buffer.from((await queue.queue(index)).buffer.m).readUInt32LE();
          assert.deepEqual([prepared, queued], [mmapOffset, mmapOffset]);
        }
        await queue.off();
      }
    });

    it('a refused buffer ioctl gives the guest its record back', async () => {
      await queue.request(2);
      const wanted = { index: UNKNOWN_INDEX, type, memory: Memory.MMAP, length: 12, sequence: 7 };
      for (const nr of [Ioctl.QUERYBUF, Ioctl.QBUF, Ioctl.PREPARE_BUF])
        await assert.rejects(queue.buffer(nr, UNKNOWN_INDEX, wanted), (error: DriverError) => {
          assert.equal(error.errno, Errno.EINVAL);
          assert.equal(error.payload.length, bufferRecord.size);
          const { index, length, sequence } = bufferRecord.read(error.payload);
          assert.deepEqual({ index, length, sequence }, { index: UNKNOWN_INDEX, length: 12, sequence: 7 });
          return error instanceof DriverError;
        });
    });

    it('STREAMON without buffers and DQBUF-less STREAMOFF answer as natively', async () => {
      const own = await native(async (node) => {
        const payload = Buffer.alloc(4);
        payload.writeUInt32LE(type);
        const answers = [Ioctl.STREAMON, Ioctl.STREAMOFF].map((nr) => node.ioctl(nr, payload));
        return (await Promise.all(answers)).map(({ errno }) => errno);
      });
      assert.deepEqual([await errnoOf(queue.on()), await errnoOf(queue.off())], own);
      await queue.request(2);
      await queue.on();
      await queue.on();
      assert.equal(await errnoOf(queue.request(3)), Errno.EBUSY, 'while it streams');
      await queue.off();
      await queue.off();
      assert.equal((await queue.request(3)).count, 3);
    });
  });
