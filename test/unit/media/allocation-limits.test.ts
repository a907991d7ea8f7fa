/** How many buffers and bytes a session may have. The node is a fake. */
import assert from 'node:assert/strict';
import { defaultPolicy } from '../../../src/media/policy.js';
import { type DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';
import { allocationSuite, create, request } from './support/allocation-suite.js';

const EINVAL = 22;
const ENOMEM = 12;
const ENOBUFS = 105;
const [MMAP, USERPTR] = [1, 2];

describe('limits of allocation', () => {
  let bench: DeviceBench;
  let session: number;
  const { boot } = allocationSuite((made, opened) => {
    bench = made;
    session = opened;
  });
  const statusOf = async (nr: number, payload: Buffer) => (await bench.ioctl(session, nr, payload)).status;

  it('64 buffers at most, however many are asked for', async () => {
    bench.node.mostBuffers = 10_000;
    const { payload } = await bench.ioctl(session, 8, request(0xffff_ffff));
    assert.equal(payload.readUInt32LE(0), 64);
    assert.equal(await statusOf(92, create(1, 100)), ENOBUFS, 'as vb2 says it');
    assert.equal(await statusOf(92, create(0, 100)), 0, 'a question makes nothing');
  });

  it('REQBUFS that the bound refuses takes the old buffers from the node too', async () => {
    let size = 0x1000;
    bench.node.ioctls.set(4, (payload) => {
      payload.writeUInt32LE(size, 8 + 20);
      return 0;
    });
    assert.equal(await statusOf(8, request(4)), 0);
    assert.equal(bench.node.file.buffers.length, 4);
    size = 0x4000_0001;
    assert.equal(await statusOf(8, request(4)), ENOMEM);
    assert.equal(bench.node.file.buffers.length, 0);
  });

  it('REQBUFS for a format whose sizeimage is 0 is EINVAL, and the node is not asked', async () => {
    /** Type of the queue, and the union of the current format. */
    const formats: [type: number, fmt: Buffer][] = [
      [1, u32(640, 480, 0x5659_5559, 1, 1280)],
      [9, u32(640, 480, 0x3231_4d4e, 1)],
      [13, u32(0x4843_5655)],
    ];
    for (const [type, fmt] of formats) {
      await boot();
      bench.node.ioctls.set(4, (payload) => {
        payload.set(fmt, 8);
        return 0;
      });
      for (const memory of [MMAP, USERPTR]) assert.equal(await statusOf(8, request(4, type, memory)), EINVAL);
      assert.deepEqual(bench.node.file.asked(8), []);
      assert.equal(await statusOf(8, request(0, type)), 0, 'it is asked to free what there is');
    }
  });

  it('REQBUFS on a node that has no current format is left to the node', async () => {
    bench.node.ioctls.set(4, () => EINVAL);
    assert.equal(await statusOf(8, request(4)), 0);
  });

  it('1 GiB at most, known before the node allocates anything', async () => {
    await boot('auto', new FakeTransport(2 ** 32));
    const granted = async (payload: Buffer, nr = 92) => {
      const before = bench.node.file.asked(nr).length;
      const { status } = await bench.ioctl(session, nr, payload);
      const calls = bench.node.file.asked(nr).slice(before) as { payload: Uint8Array }[];
      return {
        status,
        counts: calls.map((call) => Buffer.from(call.payload).readUInt32LE(nr === 92 ? 4 : 0)),
      };
    };
    for (const sizeimage of [0xffff_ffff, 0x4000_0001])
      assert.deepEqual(await granted(create(1, sizeimage)), { status: ENOMEM, counts: [0] });
    const many = await granted(create(64, 0x1000_0000));
    assert.equal(many.counts[0], 4, 'as many as fit');
    // The current format of the queue tells how large the buffers of REQBUFS will be.
    await boot('auto', new FakeTransport(2 ** 32));
    bench.node.ioctls.set(4, (payload) => {
      payload.writeUInt32LE(0x2000_0000, 8 + 20);
      return 0;
    });
    assert.equal((await granted(request(30), 8)).counts[0], 2);
    bench.node.ioctls.set(4, (payload) => {
      payload.writeUInt32LE(0x4000_0001, 8 + 20);
      return 0;
    });
    await boot();
    bench.node.ioctls.set(4, (payload) => {
      payload.writeUInt32LE(0x4000_0001, 8 + 20);
      return 0;
    });
    assert.deepEqual(await granted(request(30), 8), { status: ENOMEM, counts: [] });
  });

  it('1 GiB is for the whole session: buffers of this queue and of others count', async () => {
    await boot('auto', new FakeTransport(2 ** 32));
    bench.node.planeLengths = [0x1000_0000];
    const grantedBy = async (nr: number, payload: Buffer) => {
      const before = bench.node.file.asked(nr).length;
      await bench.ioctl(session, nr, payload);
      const [first] = bench.node.file.asked(nr).slice(before) as { payload: Uint8Array }[];
      return first && Buffer.from(first.payload).readUInt32LE(nr === 92 ? 4 : 0);
    };
    assert.equal(await statusOf(8, request(1)), 0);
    assert.equal(await grantedBy(92, create(64, 0x1000_0000)), 3);
    assert.equal(await statusOf(92, create(1, 0x1000_0000)), ENOMEM);
    // Another queue of the same session.
    assert.equal(await statusOf(8, request(2)), 0);
    bench.node.ioctls.set(4, (payload) => {
      payload.writeUInt32LE(0x1000_0000, 8 + 20);
      payload.writeUInt8(1, 8 + 180);
      return 0;
    });
    assert.equal(await grantedBy(8, request(64, 9)), 2);
    assert.equal(await grantedBy(8, request(64)), 2, 'its own buffers go when it is made anew');
  });

  it('max_num_buffers is no more than a queue may have here, where the kernel says it', async () => {
    bench.node.ioctls.set(92, (payload) => {
      payload.writeUInt32LE(0x80, 224);
      payload.writeUInt32LE(1024, 232);
      return 0;
    });
    assert.equal((await bench.ioctl(session, 92, create(0, 100))).payload.readUInt32LE(232), 64);
    bench.node.ioctls.set(92, (payload) => {
      payload.writeUInt32LE(0x80, 224);
      payload.writeUInt32LE(32, 232);
      return 0;
    });
    assert.equal((await bench.ioctl(session, 92, create(0, 100))).payload.readUInt32LE(232), 32);
    bench.node.ioctls.set(92, () => 0);
    assert.equal(
      (await bench.ioctl(session, 92, create(0, 100))).payload.readUInt32LE(232),
      0,
      'an older kernel',
    );
  });

  it('buffers that the kernel keeps of a CREATE_BUFS that failed count until REQBUFS(0)', async () => {
    const SIZE = 0x4_0000;
    const most = 4 * SIZE;
    const policy = { ...defaultPolicy, maxBufferBytes: most, maxDeviceBytes: most };
    // SHM region 0 has room for one of the buffers.
    await boot('auto', new FakeTransport(SIZE), { policy });
    bench.node.memories = [USERPTR];
    bench.node.planeLengths = [SIZE];
    const statuses = [];
    for (let n = 0; n < 20; n++) statuses.push(await statusOf(92, create(1, SIZE)));
    assert.deepEqual(statuses, [0, ...Array(19).fill(ENOMEM)]);
    const { file } = bench.node;
    assert.ok(file.buffers.length * SIZE <= most, `the kernel has ${file.buffers.length}`);
    assert.equal(await statusOf(8, request(0)), 0);
    assert.equal(await statusOf(92, create(1, SIZE)), 0, 'all of it is there again');
  });
});
