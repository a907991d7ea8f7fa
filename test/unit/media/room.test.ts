/**
 * A program asks for more buffers than there is room for: it gets as many as fit SHM region 0, the limits of the policy and
 * the kernel, and the record of the session has what the kernel has.
 */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { ObjectTable } from '../../../src/media/memory/object-table.js';
import { defaultPolicy, type Policy } from '../../../src/media/policy.js';
import { native } from '../../../src/native.js';
import { privateRegion } from '../../../src/virtio/memory-file.js';
import { DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';
import { LateStage } from './support/late-stage.js';

const [EINTR, EBUSY, EINVAL, ENOMEM, ENOBUFS] = [4, 16, 22, 12, 105];
const [G_FMT, REQBUFS, QUERYBUF, EXPBUF, CREATE_BUFS, REMOVE_BUFS] = [4, 8, 9, 16, 92, 104];
const [CAPTURE, CAPTURE_MPLANE] = [1, 9];
const [MMAP, USERPTR] = [1, 2];
const UNIT = 0x1_0000;

const request = (count: number, type = CAPTURE) => u32(count, type, MMAP, 0, 0);

/** struct v4l2_format with these plane sizes. */
function formatOf(planes: readonly number[], type: number): Buffer {
  const raw = Buffer.alloc(208);
  raw.writeUInt32LE(type, 0);
  if (type === CAPTURE) raw.writeUInt32LE(planes[0]!, 8 + 20);
  else {
    for (const [n, bytes] of planes.entries()) raw.writeUInt32LE(bytes, 8 + 20 + 20 * n);
    raw.writeUInt8(planes.length, 8 + 180);
  }
  return raw;
}

function create(count: number, planes: readonly number[], type = CAPTURE): Buffer {
  const raw = Buffer.alloc(256);
  raw.set(u32(0, count, MMAP, 0));
  raw.set(formatOf(planes, type), 16);
  return raw;
}

interface Setting {
  readonly units: number;
  readonly mode?: 'arena' | 'direct';
  readonly type?: number;
  readonly planes?: readonly number[];
  readonly policy?: Partial<Policy>;
}

describe('room for buffers', () => {
  let bench: DeviceBench;
  let session: number;
  let type: number;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  afterEach(() => end());

  let close: (() => void) | null = null;
  const end = () => {
    close?.();
    close = null;
  };
  const begin = (made: DeviceBench) => {
    end();
    bench = made;
    close = () => made.close();
  };

  /** `units`: size of the part of SHM region 0 that buffers of this mode use, in units of 64 KiB. */
  async function boot({
    units,
    mode = 'arena',
    planes = [UNIT],
    policy = {},
    ...more
  }: Setting): Promise<void> {
    type = more.type ?? (planes.length > 1 ? CAPTURE_MPLANE : CAPTURE);
    const isDirect = mode === 'direct';
    const transport = new FakeTransport((isDirect ? 2 : 1) * units * UNIT, mode, isDirect);
    begin(new DeviceBench('auto', transport, { policy: { ...defaultPolicy, ...policy } }));
    const { node } = bench;
    node.mostBuffers = 10_000;
    node.planeLengths = [...planes];
    node.memories = isDirect ? [MMAP] : [MMAP, USERPTR];
    for (const each of [CAPTURE, CAPTURE_MPLANE]) node.traits.set(`userptr:${each}`, !isDirect);
    node.ioctls.set(G_FMT, (payload) => {
      formatOf(node.planeLengths, payload.readUInt32LE(0)).copy(payload);
      return 0;
    });
    node.ioctls.set(EXPBUF, (payload) => {
      payload.writeInt32LE(native.memoryFile('a dmabuf, say', 4096), 16);
      return 0;
    });
    bench.start();
    session = await bench.open();
  }

  const reqbufs = async (count: number) => {
    const { status, payload } = await bench.ioctl(session, REQBUFS, request(count, type));
    return status === 0 ? payload.readUInt32LE(0) : -status;
  };
  const createBufs = async (count: number, planes = bench.node.planeLengths) => {
    const { status, payload } = await bench.ioctl(session, CREATE_BUFS, create(count, planes, type));
    return status === 0 ? [payload.readUInt32LE(0), payload.readUInt32LE(4)] : -status;
  };
  const cookies = async (index: number) => {
    const { planeLengths } = bench.node;
    const count = type === CAPTURE_MPLANE ? planeLengths.length : 0;
    const raw = Buffer.alloc(88 + 64 * count);
    raw.set(u32(index, type));
    raw.writeUInt32LE(count, 72);
    const { status, payload } = await bench.ioctl(session, QUERYBUF, raw);
    if (status !== 0) return -status;
    return count === 0
      ? [payload.readUInt32LE(64)]
      : planeLengths.map((_, n) => payload.readUInt32LE(88 + 64 * n + 8));
  };
  const map = async (index: number) => {
    const addresses: number[] = [];
    for (const cookie of (await cookies(index)) as number[]) {
      const { status, payload } = await bench.command(u32(4, 0, session, 1, cookie), 24);
      assert.equal(status, 0, `MMAP of buffer ${index}`);
      addresses.push(Number(payload.readBigUInt64LE(0)));
    }
    return addresses;
  };
  const unmap = async (address: number) =>
    assert.equal((await bench.command(u32(5, 0, address, 0), 8)).status, 0);
  /** The guest has these buffers and no other, and so has the kernel. All of them can be mapped. */
  const verify = async (count: number, kernel = count) => {
    assert.equal(bench.node.file.buffers.filter(Boolean).length, kernel, 'buffers of the kernel');
    const places = new Set<number>();
    for (let index = 0; index < count; index++)
      for (const address of await map(index)) {
        places.add(address);
        await unmap(address);
      }
    assert.equal(places.size, count * bench.node.planeLengths.length);
    assert.equal(await cookies(count), -EINVAL);
  };
  /** Counts of the REQBUFS that reached the node. */
  const asked = () =>
    bench.node.file
      .asked(REQBUFS)
      .map((call) => Buffer.from((call as { payload: Uint8Array }).payload).readUInt32LE());

  for (const mode of ['arena', 'direct'] as const)
    for (const planes of [[UNIT], [2 * UNIT, 1000]]) {
      const what = `${mode}, ${planes.length === 1 ? 'single' : 'multi'}-planar`;
      const each = planes.length === 1 ? 1 : 3;

      it(`${what}: 256 buffers are 64, or as many as SHM region 0 has room for`, async () => {
        await boot({ units: 100 * each, mode, planes });
        assert.equal(await reqbufs(256), 64);
        assert.deepEqual(asked(), [64]);
        await boot({ units: 10 * each, mode, planes });
        assert.equal(await reqbufs(256), 10);
        assert.deepEqual(asked(), [10], 'the kernel makes no more, not even for a moment');
        await verify(10);
        assert.equal(await reqbufs(0), 0);
        assert.deepEqual(await createBufs(256), [0, 10]);
        await verify(10);
        assert.equal(await createBufs(1), -ENOMEM);
        await verify(10);
      });

      it(`${what}: what a driver makes larger than its format says goes back to the kernel`, async () => {
        await boot({ units: 10 * each, mode, planes });
        bench.node.ioctls.set(G_FMT, (payload) => {
          formatOf([100], payload.readUInt32LE(0)).copy(payload);
          return 0;
        });
        const first = planes.length === 1 ? 10 : 10;
        bench.node.planeLengths = planes.map((bytes) => 2 * bytes);
        const fits = Math.floor((10 * each) / (planes.length === 1 ? 2 : 5));
        assert.equal(await reqbufs(256), fits);
        assert.deepEqual(asked().slice(-2), [0, fits]);
        assert.ok(asked()[0]! >= first);
        await verify(fits);
        assert.equal(await reqbufs(0), 0);
        await verify(0);
      });

      it(`${what}: buffers of another session and mappings that the guest still has are in the way, until they go`, async () => {
        await boot({ units: 10 * each, mode, planes });
        assert.equal(await reqbufs(4), 4);
        const kept = await map(0);
        const other = session;
        session = await bench.open();
        assert.equal(await reqbufs(20), 6);
        await verify(6);
        session = other;
        assert.equal(await reqbufs(0), 0, 'buffer 0 stays mapped');
        session = await bench.open();
        assert.equal(await reqbufs(20), 3);
        await verify(3);
        for (const address of kept) await unmap(address);
        assert.equal(await reqbufs(20), 4, 'its own old buffers make room too');
        await verify(4);
      });
    }

  it('two sessions that ask at the same time: what one is promised, the other is not', async () => {
    for (const mode of ['arena', 'direct'] as const) {
      await boot({ units: 10, mode });
      const other = await bench.open();
      const heads = [session, other].map((each) =>
        bench.offer(Buffer.concat([u32(3, 0, each, REQBUFS), request(256)]), 28),
      );
      // The fake has one list of buffers for each file, so the second is asked before the first has adopted anything.
      while (heads.some((head) => !bench.answered(head))) await new Promise(setImmediate);
      const answers = heads.map((head) => bench.answered(head)!);
      assert.deepEqual(
        answers.map(({ status, payload }) => (status === 0 ? payload.readUInt32LE(0) : -status)),
        [10, -ENOMEM],
      );
      const counts = bench.node.files.map((file) =>
        file
          .asked(REQBUFS)
          .map((call) => Buffer.from((call as { payload: Uint8Array }).payload).readUInt32LE()),
      );
      assert.deepEqual(counts[0], [10]);
      assert.ok(
        counts[1]!.every((count) => count === 0),
        'the kernel makes nothing for the other',
      );
    }
  });

  it('a queue that is made anew: old buffers that the guest has mapped are in the way, the others are not', async () => {
    for (const mode of ['arena', 'direct'] as const) {
      await boot({ units: 8, mode });
      assert.equal(await reqbufs(8), 8);
      const [first] = await map(0);
      const [second] = await map(1);
      await unmap(second!);
      assert.equal(await reqbufs(8), 7);
      await verify(7);
      await unmap(first!);
      assert.equal(await reqbufs(8), 8);
      await verify(8);
    }
  });

  it('planes that have room only apart from each other', async () => {
    await boot({ units: 9, planes: [2 * UNIT, UNIT] });
    assert.equal(await reqbufs(9), 3);
    await verify(3);
    bench.node.planeLengths = [4 * UNIT, 1];
    assert.equal(await reqbufs(9), 1);
    await verify(1);
  });

  it('limits of the policy: buffers, bytes of a session, bytes of the node', async () => {
    await boot({ units: 100, policy: { maxBuffers: 5 } });
    assert.equal(await reqbufs(256), 5);
    await verify(5);
    assert.equal(await createBufs(1), -ENOBUFS);
    await boot({ units: 100, policy: { maxBufferBytes: 7 * UNIT + 1 } });
    assert.equal(await reqbufs(256), 7);
    await verify(7);
    assert.equal(await createBufs(1), -ENOMEM);
    await boot({ units: 100, policy: { maxDeviceBytes: 9 * UNIT } });
    assert.equal(await reqbufs(6), 6);
    session = await bench.open();
    assert.equal(await reqbufs(6), 3);
    await verify(3);
  });

  it('bytes of the policy, if the driver makes buffers larger than its format says', async () => {
    await boot({ units: 100, policy: { maxBufferBytes: 8 * UNIT } });
    bench.node.ioctls.set(G_FMT, () => 0);
    bench.node.planeLengths = [2 * UNIT];
    assert.equal(await reqbufs(20), 4);
    await verify(4);
  });

  it('the kernel: it makes fewer than it is asked for', async () => {
    await boot({ units: 100 });
    bench.node.mostBuffers = 6;
    assert.equal(await reqbufs(256), 6);
    await verify(6);
  });

  it('the driver’s minimum: more than was asked for, or ENOMEM if there is no room for it', async () => {
    await boot({ units: 4 });
    bench.node.leastBuffers = 3;
    assert.equal(await reqbufs(1), 3);
    await verify(3);
    bench.node.leastBuffers = 5;
    assert.equal(await reqbufs(1), -ENOMEM);
    await verify(0);
    assert.equal(await reqbufs(256), -ENOMEM);
    await verify(0);
    bench.node.leastBuffers = 4;
    assert.equal(await reqbufs(256), 4);
    await verify(4);
  });

  it('the host’s own memory: buffers that cannot be mapped here go back', async () => {
    await boot({ units: 100 });
    bench.node.memories = [MMAP];
    const { file } = bench.node;
    const run = file.call.bind(file);
    let left = 5;
    file.call = async (call) => {
      // Buffers that are given back make room again.
      if (call.kind === 'ioctl' && call.nr === REQBUFS) left = 5;
      if (call.kind !== 'map') return run(call);
      if (left-- <= 0) return ENOMEM;
      call.region = privateRegion('a buffer of the host', 4096);
      return 0;
    };
    assert.equal(await reqbufs(20), 5);
    await verify(5);
  });

  it('buffers that cannot be given back: the errno, and the record has them', async () => {
    await boot({ units: 4 });
    bench.node.ioctls.set(G_FMT, () => 0);
    bench.node.planeLengths = [2 * UNIT];
    const { file } = bench.node;
    const run = file.call.bind(file);
    file.call = async (call) =>
      call.kind === 'ioctl' && call.nr === REQBUFS && Buffer.from(call.payload).readUInt32LE() === 0
        ? EBUSY
        : run(call);
    assert.equal(await reqbufs(4), -EBUSY);
    assert.equal(file.buffers.length, 4);
    file.call = run;
    assert.equal(await reqbufs(0), 0);
    await verify(0);
    assert.equal(await reqbufs(4), 2);
    await verify(2);
  });

  for (const removes of [true, false])
    it(`CREATE_BUFS, if the kernel ${removes ? 'has REMOVE_BUFS' : 'has no REMOVE_BUFS'}: what has no room ${removes ? 'goes back' : 'stays there, and counts'}`, async () => {
      await boot({ units: 8, policy: { maxBufferBytes: 20 * UNIT } });
      bench.node.removes = removes;
      assert.equal(await reqbufs(2), 2);
      bench.node.planeLengths = [2 * UNIT];
      assert.deepEqual(await createBufs(6, [UNIT]), [2, 3]);
      assert.equal(bench.node.file.buffers.length, removes ? 5 : 8);
      assert.equal(bench.node.file.asked(REMOVE_BUFS).length, 1);
      const record = Buffer.from((bench.node.file.asked(REMOVE_BUFS)[0] as { payload: Uint8Array }).payload);
      assert.deepEqual(
        [0, 4, 8].map((at) => record.readUInt32LE(at)),
        [5, 3, CAPTURE],
      );
      for (const index of [0, 1, 2, 3, 4]) await map(index);
      for (const index of [5, 6, 7]) assert.equal(await cookies(index), -EINVAL);
      assert.equal(await createBufs(1), -ENOMEM);
      assert.equal(await reqbufs(0), 0);
      await verify(0);
    });

  it('CREATE_BUFS without room for one of the new buffers is ENOMEM, and the old ones stay', async () => {
    await boot({ units: 3 });
    bench.node.removes = true;
    assert.equal(await reqbufs(2), 2);
    bench.node.planeLengths = [2 * UNIT];
    assert.equal(await createBufs(1, [UNIT]), -ENOMEM);
    bench.node.planeLengths = [UNIT];
    await verify(2);
    assert.deepEqual(await createBufs(5), [2, 1]);
    await verify(3);
  });

  it('direct: a range that the VMM has not given back yet is waited for, not counted as lost', async () => {
    await boot({ units: 4, mode: 'direct' });
    assert.equal(await reqbufs(4), 4);
    for (const index of [0, 1, 2, 3]) await unmap((await map(index))[0]!);
    bench.transport.errno = null;
    const again = bench.offer(Buffer.concat([u32(3, 0, session, REQBUFS), request(4)]), 28);
    while (bench.transport.waiting < 4) await new Promise(setImmediate);
    assert.equal(bench.answered(again), null);
    bench.transport.errno = 0;
    while (bench.transport.waiting > 0) bench.transport.answer();
    while (!bench.answered(again)) await new Promise(setImmediate);
    assert.deepEqual([bench.answered(again)!.status, bench.answered(again)!.payload.readUInt32LE(0)], [0, 4]);
    await verify(4);
  });

  it('direct with objects: a plane takes its place when the guest maps it, because it need not', async () => {
    await boot({ units: 4, mode: 'direct' });
    const transport = new FakeTransport(8 * UNIT, 'direct', true);
    const { node: before } = bench;
    begin(new DeviceBench('auto', transport, { objects: new ObjectTable() }));
    bench.node.memories = [MMAP];
    bench.node.planeLengths = [UNIT];
    for (const nr of [G_FMT, EXPBUF]) bench.node.ioctls.set(nr, before.ioctls.get(nr)!);
    bench.start();
    session = await bench.open();
    assert.equal(await reqbufs(20), 20);
    for (const index of [0, 1, 2, 3]) await map(index);
    const [cookie] = (await cookies(4)) as number[];
    assert.equal((await bench.command(u32(4, 0, session, 1, cookie!), 24)).status, ENOMEM);
  });

  it('a REQBUFS that is answered before it is done: the record has what fits, and so has the retry', async () => {
    const stage = await LateStage.open({}, new FakeTransport(6 * UNIT));
    begin(stage.bench);
    session = stage.session;
    type = CAPTURE;
    bench.node.memories = [MMAP, USERPTR];
    bench.node.traits.set('userptr:1', true);
    bench.node.planeLengths = [2 * UNIT];
    stage.slow((call) => call.kind === 'ioctl' && call.nr === REQBUFS);
    const early = await stage.interrupted(stage.request(REQBUFS, request(20)), 28, 'EINTR');
    assert.equal(early.status, EINTR);
    assert.equal(stage.executed, 3, 'what has no room is given back, and the queue is made anew');
    assert.equal(stage.record.queues.get(CAPTURE)!.count, 3);
    assert.equal(bench.node.file.buffers.length, 3);
    stage.compare();
    assert.equal(await reqbufs(20), 3);
    assert.equal(stage.executed, 3, 'the result, without another REQBUFS');
    await verify(3);
  });
});
