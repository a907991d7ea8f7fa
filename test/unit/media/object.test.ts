/**
 * VIRTIO_OBJECT as bytes of a chain: UUIDs are in their places, and descriptor fields come back unchanged. The node is
 * a fake.
 */
import assert from 'node:assert/strict';
import { fstatSync } from 'node:fs';
import { log } from '../../../src/log.js';
import { ObjectTable } from '../../../src/media/memory/object-table.js';
import { type NodeCall, native } from '../../../src/native.js';
import { DeviceBench, turns, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const [REQBUFS, QUERYBUF, QBUF, EXPBUF, STREAMON, PREPARE_BUF] = [8, 9, 15, 16, 18, 93];
const [MMAP, DMABUF] = [1, 4];
const [CAPTURE, CAPTURE_MPLANE] = [1, 9];
const EINVAL = 22;
/** The guest's value in a descriptor field. It has no meaning for the host. */
const PLACEHOLDER = '5a5a5a5ac3c3c3c3';
const POINTER = '785634127f000000';
const NIL = Buffer.alloc(16);
const NOBODY = Buffer.alloc(16, 7);

/** struct v4l2_buffer; `m` is the union. */
const record = (index: number, memory: number, m: string, type = CAPTURE, length = 0) => {
  const raw = Buffer.alloc(88);
  raw.set(u32(index, type));
  raw.writeUInt32LE(memory, 60);
  raw.write(m, 64, 'hex');
  raw.writeUInt32LE(length, 72);
  return raw;
};
/** struct v4l2_plane. */
const plane = (m: string) => {
  const raw = Buffer.alloc(64);
  raw.write(m, 8, 'hex');
  return raw;
};
const exportRecord = (index: number, number = 0) =>
  Buffer.concat([u32(CAPTURE, index, number, 0, 0x5a5a_5a5a), Buffer.alloc(44)]);

describe('memory type OBJECT', () => {
  let bench: DeviceBench;
  let table: ObjectTable;
  let camera: number;
  let codec: number;
  /** Descriptors that the fake node has exported. */
  let exported: number[];

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(async () => {
    table = new ObjectTable();
    exported = [];
    bench = new DeviceBench('auto', new FakeTransport(1 << 24, 'direct', true), { objects: table });
    bench.node.memories = [MMAP, DMABUF];
    bench.node.ioctls.set(EXPBUF, (payload) => {
      assert.equal(payload.readInt32LE(16), 0, "the guest's descriptor does not reach the kernel");
      exported.push(native.memoryFile('a dmabuf, say', 4096));
      payload.writeInt32LE(exported.at(-1)!, 16);
      return 0;
    });
    bench.start();
    camera = await bench.open();
    codec = await bench.open();
    assert.equal((await bench.ioctl(camera, REQBUFS, u32(2, CAPTURE, MMAP, 0, 0))).status, 0);
    exported = [];
  });
  afterEach(() => bench.close());

  const exportOf = (index: number, number = 0) =>
    bench.ioctl(camera, EXPBUF, Buffer.concat([exportRecord(index, number), Buffer.alloc(16, 0xff)]));
  const uuidOf = async (index: number) => (await exportOf(index)).payload.subarray(64);
  const objects = async (type = CAPTURE) => {
    const { status, payload } = await bench.ioctl(codec, REQBUFS, u32(2, type, DMABUF, 0, 0));
    assert.equal(status, 0);
    return payload;
  };
  /** QUERYBUF, QBUF and PREPARE_BUF calls of the codec's session that reached the node. */
  const calls = (nr: number) =>
    bench.node.files[1]!.asked(nr).filter((call) => call.kind === 'buffer') as (NodeCall & {
      kind: 'buffer';
    })[];

  it('EXPBUF: the UUID is right behind the structure, whose descriptor stays the guest’s', async () => {
    const { status, length, payload } = await exportOf(0);
    assert.deepEqual([status, length], [0, 8 + 64 + 16]);
    assert.deepEqual(payload.subarray(0, 64), exportRecord(0));
    const uuid = payload.subarray(64);
    assert.deepEqual([uuid[6]! >> 4, uuid[8]! >> 6], [4, 2], 'RFC 9562, version 4');
    assert.deepEqual(bench.transport.objects, [uuid.toString('hex')], 'the VMM knows it');
    assert.equal(table.find(uuid), exported[0]);
  });

  it('EXPBUF again with more access: the same object, and it can do more; with less it stays', async () => {
    const flagged = (flags: number) => {
      const record = exportRecord(0);
      record.writeUInt32LE(flags, 12);
      return bench.ioctl(camera, EXPBUF, Buffer.concat([record, Buffer.alloc(16)]));
    };
    const [O_RDONLY, O_RDWR] = [0, 2];
    const uuid = (await flagged(O_RDONLY)).payload.subarray(64);
    assert.equal(table.find(uuid), exported[0]);
    assert.deepEqual((await flagged(O_RDWR)).payload.subarray(64), uuid);
    assert.equal(table.find(uuid), exported[1]);
    assert.throws(() => fstatSync(exported[0]!));
    assert.deepEqual((await flagged(O_RDONLY)).payload.subarray(64), uuid);
    assert.equal(table.find(uuid), exported[1]);
    assert.deepEqual([table.size, bench.transport.objects.length], [1, 1]);
  });

  it('EXPBUF for writing of what was exported for reading: the object can do both', async () => {
    const asked: number[] = [];
    const expbuf = bench.node.ioctls.get(EXPBUF)!;
    bench.node.ioctls.set(EXPBUF, (payload) => {
      asked.push(Buffer.from(payload).readUInt32LE(12) & 3);
      return expbuf(payload);
    });
    const [O_RDONLY, O_WRONLY, O_RDWR] = [0, 1, 2];
    for (const flags of [O_RDONLY, O_WRONLY, O_RDONLY]) {
      const record = exportRecord(0);
      record.writeUInt32LE(flags, 12);
      assert.equal((await bench.ioctl(camera, EXPBUF, Buffer.concat([record, Buffer.alloc(16)]))).status, 0);
    }
    assert.deepEqual(asked, [O_RDONLY, O_RDWR, O_RDWR]);
    assert.equal(table.size, 1);
  });

  it('EXPBUF: one object a plane as long as the buffer exists', async () => {
    const [first, second] = [await uuidOf(0), await uuidOf(1)];
    assert.notDeepEqual(first, second);
    assert.deepEqual(await uuidOf(0), first);
    assert.equal(table.size, 2);
    for (const [index, number] of [
      [2, 0],
      [0, 1],
    ] as const)
      assert.deepEqual(
        [(await exportOf(index, number)).status, (await exportOf(index, number)).length],
        [EINVAL, 8],
      );
    assert.equal((await bench.ioctl(camera, REQBUFS, u32(0, CAPTURE, MMAP, 0, 0))).status, 0);
    assert.deepEqual([table.size, bench.transport.objects], [0, []]);
    for (const fd of exported) assert.throws(() => fstatSync(fd), 'a descriptor outlives its object');
  });

  it('REQBUFS says OBJECT, and that the driver imports', async () => {
    const payload = await objects();
    assert.equal(payload.readUInt32LE(8), DMABUF);
    // MMAP, DMABUF, ORPHANED_BUFS, M2M_HOLD_CAPTURE_BUF, MMAP_CACHE_HINTS, MAX_NUM_BUFFERS.
    assert.equal(payload.readUInt32LE(12), 0xf5);
  });

  it('a UUID follows the record both ways; the kernel gets a descriptor beside the record, never in it', async () => {
    const uuid = await uuidOf(1);
    await objects();
    const { status, length, payload } = await bench.ioctl(
      codec,
      QBUF,
      Buffer.concat([record(0, DMABUF, PLACEHOLDER), uuid]),
    );
    assert.deepEqual([status, length], [0, 8 + 88 + 16]);
    assert.deepEqual([payload.toString('hex', 64, 72), payload.readUInt32LE(60)], [PLACEHOLDER, DMABUF]);
    assert.deepEqual(payload.subarray(88), uuid);
    const [call] = calls(QBUF);
    assert.deepEqual(call!.descriptors, [table.find(uuid)]);
  });

  it('with planes, the UUIDs are an array behind the last plane record, the first for the first plane', async () => {
    bench.node.planeLengths = [1000, 500];
    const [first, second] = [await uuidOf(0), await uuidOf(1)];
    await objects(CAPTURE_MPLANE);
    const places = ['1111111100000000', '2222222200000000', '3333333300000000'];
    const planes = places.map(plane);
    // The guest sends one plane record more than the buffer has planes.
    const sent = Buffer.concat([record(0, DMABUF, POINTER, CAPTURE_MPLANE, 3), ...planes, first, second]);
    const { status, length, payload } = await bench.ioctl(codec, QBUF, sent);
    assert.deepEqual([status, length], [0, 8 + 88 + 3 * 64 + 2 * 16]);
    assert.equal(payload.toString('hex', 64, 72), POINTER, 'the pointer to the planes');
    for (const [n, place] of places.entries())
      assert.equal(payload.toString('hex', 88 + 64 * n + 8, 88 + 64 * n + 16), place, `plane ${n}`);
    assert.deepEqual(payload.subarray(88 + 3 * 64), Buffer.concat([first, second]));
    assert.deepEqual(calls(QBUF)[0]!.descriptors, [table.find(first), table.find(second)]);
  });

  it('the device fills in the UUIDs of a buffer that has one', async () => {
    const uuid = await uuidOf(0);
    await objects();
    const ask = (nr: number, sent: Uint8Array) =>
      bench.ioctl(codec, nr, Buffer.concat([record(0, DMABUF, PLACEHOLDER), sent]));
    assert.deepEqual((await ask(QUERYBUF, NIL)).payload.subarray(88), NIL, 'before the first QBUF');
    assert.equal((await ask(PREPARE_BUF, uuid)).status, 0);
    const { payload } = await ask(QUERYBUF, NIL);
    assert.deepEqual([payload.toString('hex', 64, 72), payload.subarray(88)], [PLACEHOLDER, uuid]);
  });

  it('a UUID of nobody, one that is cut off and none at all are EINVAL with the echo, and reach nobody', async () => {
    const uuid = await uuidOf(0);
    await objects();
    for (const nr of [QBUF, PREPARE_BUF])
      for (const sent of [NOBODY, NIL, uuid.subarray(0, 15), Buffer.alloc(0)]) {
        const request = Buffer.concat([record(0, DMABUF, PLACEHOLDER), sent]);
        const { status, payload } = await bench.ioctl(codec, nr, request);
        assert.deepEqual([status, payload], [EINVAL, request]);
      }
    bench.node.planeLengths = [1000, 500];
    await objects(CAPTURE_MPLANE);
    const short = Buffer.concat([
      record(0, DMABUF, POINTER, CAPTURE_MPLANE, 2),
      plane(PLACEHOLDER),
      plane(PLACEHOLDER),
      uuid,
    ]);
    assert.equal((await bench.ioctl(codec, QBUF, short)).status, EINVAL, 'a UUID for each plane');
    assert.deepEqual([calls(QBUF), calls(PREPARE_BUF)], [[], []]);
  });

  it('a frame says nothing of descriptors and has no UUID', async () => {
    const uuid = await uuidOf(0);
    await objects();
    await bench.ioctl(codec, QBUF, Buffer.concat([record(0, DMABUF, PLACEHOLDER), uuid]));
    assert.equal((await bench.tell(codec, STREAMON, u32(CAPTURE))).status, 0);
    bench.node.file.frame();
    await turns();
    const [event] = bench.takeEvents();
    assert.equal(event!.length, 608);
    assert.equal(event!.toString('hex', 8 + 64, 8 + 72), '00'.repeat(8));
    assert.equal(event!.readUInt32LE(8 + 60), DMABUF);
  });
});
