/** Buffers over a fake node: on which backing, with which mmap offsets, and what is left when the node refuses. */
import assert from 'node:assert/strict';
import { MemoryFile } from '../../../src/virtio/memory-file.js';
import { type DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';
import { allocationSuite, asked, create, query, request } from './support/allocation-suite.js';

const EBUSY = 16;
const EFAULT = 14;
const EINVAL = 22;
const ENOMEM = 12;
const ENOTTY = 25;
const MMAP = 1;
const USERPTR = 2;
const PREPARE_BUF = 93;

describe('allocation', () => {
  let bench: DeviceBench;
  let session: number;
  const { boot } = allocationSuite((made, opened) => {
    bench = made;
    session = opened;
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
    assert.deepEqual(asked(bench), [
      [4, USERPTR],
      [0, USERPTR],
      [4, USERPTR],
    ]);
    assert.equal(bench.node.file.asked(PREPARE_BUF).length, 1);
    session = await bench.open();
    await bench.ioctl(session, 8, request(2));
    assert.deepEqual(asked(bench), [[2, USERPTR]]);
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
    assert.deepEqual(asked(bench), [
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
      asked(bench).map(([, memory]) => memory),
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

  it('a driver without USERPTR gets MMAP at once', async () => {
    bench.node.memories = [MMAP];
    bench.node.ioctls.set(8, (payload) => (payload.readUInt32LE(8) === MMAP ? ENOMEM : EINVAL));
    assert.equal(await statusOf(8, request(2)), ENOMEM);
    assert.deepEqual(
      asked(bench).map(([, memory]) => memory),
      [USERPTR, MMAP],
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
    assert.equal(await statusOf(8, request(4)), 0, 'all of SHM region 0 is free again');
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

  it('CREATE_BUFS continues the queue, and a failure half way takes the new ones back', async () => {
    await boot('auto', new FakeTransport(4 << 16));
    await bench.ioctl(session, 8, request(2));
    const made = await bench.ioctl(session, 92, create(2, 100));
    assert.deepEqual([made.status, made.payload.readUInt32LE(0), made.payload.readUInt32LE(4)], [0, 2, 2]);
    assert.equal(await statusOf(92, create(1, 100)), ENOMEM, 'SHM region 0 is full');
    assert.equal(await statusOf(9, query(3)), 0);
    assert.equal(await statusOf(9, query(4)), EINVAL, 'one that nobody was told of');
    assert.equal(await statusOf(8, request(0)), 0);
    assert.equal(await statusOf(9, query(0)), EINVAL);
    assert.equal(await statusOf(8, request(4)), 0, 'all of SHM region 0 is free again');
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
