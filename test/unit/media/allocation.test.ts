/** REQBUFS and CREATE_BUFS over a fake node: backings, limits, mmap offsets, and what the guest may see. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { defaultPolicy } from '../../../src/media/policy.js';
import { MemoryFile } from '../../../src/virtio/memory-file.js';
import { DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const EBUSY = 16;
const EFAULT = 14;
const EINVAL = 22;
const ENOMEM = 12;
const ENOBUFS = 105;
const ENOTTY = 25;
const MMAP = 1;
const USERPTR = 2;
const PREPARE_BUF = 93;

const request = (count: number, type = 1, memory = 1, flags = 0) => u32(count, type, memory, 0, flags);
const create = (count: number, sizeimage: number, memory = 1, type = 1) => {
  const raw = Buffer.alloc(256);
  raw.set(u32(0, count, memory, 0, type));
  raw.writeUInt32LE(sizeimage, 16 + 8 + 20);
  return raw;
};
const query = (index: number, length = 0, type = 1) => {
  const raw = Buffer.alloc(88 + 64 * length);
  raw.set(u32(index, type));
  raw.writeUInt32LE(length, 72);
  return raw;
};

describe('allocation', () => {
  let bench: DeviceBench;
  let session: number;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  const boot = async (...setup: ConstructorParameters<typeof DeviceBench>) => {
    bench?.close();
    bench = new DeviceBench(...setup);
    bench.start();
    session = await bench.open();
  };
  beforeEach(() => boot());
  after(() => bench.close());

  /** (count, memory) of every REQBUFS that reached the node. */
  const asked = () =>
    bench.node.file.asked(8).map((call) => {
      const raw = Buffer.from((call as { payload: Uint8Array }).payload);
      return [raw.readUInt32LE(0), raw.readUInt32LE(8)];
    });
  const statusOf = async (nr: number, payload: Buffer) => (await bench.ioctl(session, nr, payload)).status;
  const cookieOf = async (index: number) =>
    (await bench.ioctl(session, 9, query(index))).payload.readUInt32LE(64);

  it('tells the guest of MMAP, whatever is behind it, and of no capability that it cannot use', async () => {
    const { status, payload } = await bench.ioctl(session, 8, request(4));
    assert.equal(status, 0);
    assert.deepEqual(
      [payload.readUInt32LE(0), payload.readUInt32LE(4), payload.readUInt32LE(8)],
      [4, 1, MMAP],
    );
    // MMAP, ORPHANED_BUFS, M2M_HOLD_CAPTURE_BUF, MAX_NUM_BUFFERS.
    assert.equal(payload.readUInt32LE(12), 0xb1);
  });

  it('takes USERPTR where the driver does, after a trial, and remembers that for the next session', async () => {
    assert.equal(await statusOf(8, request(4)), 0);
    // REQBUFS, a probe with PREPARE_BUF, REQBUFS(0), REQBUFS again.
    assert.deepEqual(asked(), [
      [4, USERPTR],
      [0, USERPTR],
      [4, USERPTR],
    ]);
    assert.equal(bench.node.file.asked(PREPARE_BUF).length, 1);
    session = await bench.open();
    await bench.ioctl(session, 8, request(2));
    assert.deepEqual(asked(), [[2, USERPTR]]);
  });

  it('copies where the driver takes USERPTR and then refuses the memory', async () => {
    const { node } = bench;
    const hostBuffer = new MemoryFile('a host buffer, say', 4096);
    const run = node.file.call.bind(node.file);
    node.file.call = async (call) => {
      if (call.kind === 'map') call.region = hostBuffer.region;
      if (call.kind === 'map') return 0;
      return call.kind === 'buffer' && call.nr === PREPARE_BUF ? EFAULT : run(call);
    };
    assert.equal(await statusOf(8, request(2)), 0);
    // REQBUFS, a probe, REQBUFS(0), REQBUFS with the other memory type.
    assert.deepEqual(asked(), [
      [2, USERPTR],
      [0, USERPTR],
      [2, MMAP],
    ]);
    assert.equal(node.traits.get('userptr:1'), false);
    hostBuffer.close();
  });

  it('direct: MMAP of the host, if EXPBUF works', async () => {
    await boot('direct', new FakeTransport(1 << 24, 'direct', true));
    let exported = 0;
    bench.node.ioctls.set(16, () => {
      exported++;
      return ENOTTY;
    });
    await bench.ioctl(session, 8, request(2));
    assert.equal(exported, 1);
    assert.deepEqual(
      asked().map(([, memory]) => memory),
      [MMAP, MMAP, USERPTR, USERPTR, USERPTR],
      'it does not: given back, and the next backing is tried',
    );
    assert.equal(bench.node.traits.get('direct:1'), false);
  });

  it('memory types of others are EINVAL and never reach the node, with count 0 too', async () => {
    for (const memory of [0, 2, 3, 4, 7, 0xffff_ffff])
      for (const count of [0, 3]) {
        assert.equal(await statusOf(8, request(count, 1, memory)), EINVAL);
        assert.equal(await statusOf(92, create(count, 100, memory)), EINVAL);
      }
    assert.deepEqual(bench.node.file.calls, []);
  });

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

  it('a driver without USERPTR gets MMAP at once', async () => {
    bench.node.memories = [MMAP];
    bench.node.ioctls.set(8, (payload) => (payload.readUInt32LE(8) === MMAP ? ENOMEM : EINVAL));
    assert.equal(await statusOf(8, request(2)), ENOMEM);
    assert.deepEqual(
      asked().map(([, memory]) => memory),
      [USERPTR, MMAP],
    );
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

  it('QBUF, QUERYBUF and PREPARE_BUF: eight plane records at most, all of which came', async () => {
    bench.node.planeLengths = [5000, 3000];
    assert.equal(await statusOf(8, request(2, 9)), 0);
    for (const nr of [9, 93, 15]) {
      assert.equal(
        await statusOf(nr, query(1, 8, 9)),
        nr === 9 ? 0 : EINVAL,
        'memory 0 is none for the others',
      );
      const nine = await bench.ioctl(session, nr, query(0, 9, 9));
      assert.deepEqual([nine.status, nine.payload], [EINVAL, query(0, 9, 9)]);
      const short = query(0, 2, 9).subarray(0, 88 + 127);
      assert.deepEqual((await bench.ioctl(session, nr, short)).payload, short);
      assert.equal((await bench.ioctl(session, nr, short)).status, EINVAL);
    }
  });

  it('a node that makes an index twice: the first buffer is gone, and its place free', async () => {
    await boot('auto', new FakeTransport(4 << 16));
    assert.equal(await statusOf(8, request(1)), 0);
    const cookie = await cookieOf(0);
    bench.node.ioctls.set(92, (payload) => {
      payload.writeUInt32LE(0, 0);
      return 0;
    });
    for (let round = 0; round < 6; round++) assert.equal(await statusOf(92, create(1, 100)), 0);
    bench.node.ioctls.delete(92);
    assert.equal((await bench.command(u32(4, 0, session, 1, cookie), 24)).status, EINVAL);
    assert.equal(await statusOf(8, request(4)), 0, 'the whole window is free again');
  });

  it('cookies are multiples of 64 KiB, unique in a session, and die with their buffers', async () => {
    await bench.ioctl(session, 8, request(4));
    const cookies = [];
    for (let index = 0; index < 4; index++) cookies.push(await cookieOf(index));
    assert.equal(new Set(cookies).size, 4);
    assert.ok(cookies.every((cookie) => cookie > 0 && cookie % 0x1_0000 === 0));
    await bench.ioctl(session, 8, request(4));
    assert.ok(!cookies.includes(await cookieOf(0)), 'new buffers, new cookies');
    for (const cookie of cookies)
      assert.equal((await bench.command(u32(4, 0, session, 1, cookie), 24)).status, EINVAL);
  });

  it('EBUSY and EINVAL of the node leave the old buffers alone', async () => {
    await bench.ioctl(session, 8, request(3));
    const cookie = await cookieOf(2);
    for (const errno of [EBUSY, EINVAL]) {
      bench.node.ioctls.set(8, () => errno);
      assert.equal(await statusOf(8, request(4)), errno);
      assert.equal(await cookieOf(2), cookie);
    }
    bench.node.ioctls.delete(8);
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

  it('CREATE_BUFS continues the queue, and a failure half way takes the new ones back', async () => {
    await boot('auto', new FakeTransport(4 << 16));
    await bench.ioctl(session, 8, request(2));
    const made = await bench.ioctl(session, 92, create(2, 100));
    assert.deepEqual([made.status, made.payload.readUInt32LE(0), made.payload.readUInt32LE(4)], [0, 2, 2]);
    assert.equal(await statusOf(92, create(1, 100)), ENOMEM, 'the window is full');
    assert.equal(await statusOf(9, query(3)), 0);
    assert.equal(await statusOf(9, query(4)), EINVAL, 'one that nobody was told of');
    assert.equal(await statusOf(8, request(0)), 0);
    assert.equal(await statusOf(9, query(0)), EINVAL);
    assert.equal(await statusOf(8, request(4)), 0, 'the whole window is free again');
  });

  it('planes: each has a cookie and a slot of its own', async () => {
    bench.node.planeLengths = [5000, 3000];
    assert.equal(await statusOf(8, request(2, 9)), 0);
    const { status, payload } = await bench.ioctl(session, 9, query(1, 2, 9));
    assert.equal(status, 0);
    const places = [88, 152].map(
      (at) => [payload.readUInt32LE(at + 4), payload.readUInt32LE(at + 8)] as const,
    );
    assert.deepEqual(
      places.map(([length]) => length),
      [5000, 3000],
    );
    const addresses = [];
    for (const [, cookie] of places) {
      const mapped = await bench.command(u32(4, 0, session, 1, cookie), 24);
      assert.equal(mapped.status, 0);
      addresses.push(Number(mapped.payload.readBigUInt64LE(0)), Number(mapped.payload.readBigUInt64LE(8)));
    }
    assert.deepEqual([addresses[1], addresses[3]], [5000, 3000]);
    assert.notEqual(addresses[0], addresses[2]);
    assert.deepEqual(bench.transport.places('map'), [[0, 1 << 24]]);
  });

  it('without shared memory buffers exist, and MMAP is EINVAL', async () => {
    await boot('auto', new FakeTransport(0));
    assert.equal(await statusOf(8, request(2)), 0);
    assert.equal((await bench.command(u32(4, 0, session, 1, await cookieOf(0)), 24)).status, EINVAL);
  });
});
