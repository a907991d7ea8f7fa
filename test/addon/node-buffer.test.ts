import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type NodeFile, native, type Region } from '../../src/native.js';
import { close, openNull, submit } from './support/node-file.js';
import { openDescriptors } from './support/process.js';
import { bufferRecord, u32, u64 } from './support/records.js';

const EBADF = 9;
const EINVAL = 22;
const ENOTTY = 25;

const CAPTURE = 1;
const CAPTURE_MPLANE = 9;
const MMAP = 1;
const USERPTR = 2;
const DMABUF = 4;

describe('addon: node calls on buffers', () => {
  let file: NodeFile;
  let fd: number;
  let region: Region;
  const run = (call: unknown): Promise<number> => submit(file, call);

  beforeEach(async () => {
    fd = native.memoryFile('planes', 65536);
    region = new native.Region(fd, 0, 65536);
    file = await openNull();
  });
  afterEach(async () => {
    await close(file);
    region.close();
    closeSync(fd);
  });

  const buffer = (fields: Parameters<typeof bufferRecord>[0], rest: object = {}, nr = 15): Promise<number> =>
    run({ kind: 'buffer', nr, buffer: bufferRecord(fields), ...rest });
  const place = (fields: object = {}): unknown => ({ region, offset: 0, length: 4096, ...fields });

  it('is one of three', async () => {
    for (const nr of [9, 15, 93]) assert.equal(await buffer({ type: CAPTURE, memory: MMAP }, {}, nr), ENOTTY);
    for (const nr of [0, 8, 16, 17, 92, -1, 1.5])
      assert.equal(await buffer({ type: CAPTURE, memory: MMAP }, {}, nr), EINVAL);
  });

  it('takes 88 bytes', async () => {
    for (const length of [0, 87, 89]) {
      assert.equal(await run({ kind: 'buffer', nr: 15, buffer: new Uint8Array(length) }), EINVAL);
    }
    assert.equal(await run({ kind: 'buffer', nr: 15 }), EINVAL);
  });

  it('has planes where the type has them, as many as it says', async () => {
    const planes = (n: number): object => ({ planes: new Uint8Array(n) });
    assert.equal(await buffer({ type: CAPTURE, memory: MMAP }, planes(64)), EINVAL);
    assert.equal(await buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 1 }), EINVAL);
    assert.equal(await buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 2 }, planes(64)), EINVAL);
    assert.equal(await buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 1 }, planes(65)), EINVAL);
    assert.equal(await buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 9 }, planes(9 * 64)), EINVAL);
    for (const n of [0, 1, 8]) {
      assert.equal(await buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: n }, planes(n * 64)), ENOTTY);
    }
    assert.equal(await buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 1 }, { planes: null }), EINVAL);
  });

  it('carries no descriptor of its own', async () => {
    for (const nr of [15, 93]) {
      assert.equal(await buffer({ type: CAPTURE, memory: DMABUF }, {}, nr), EINVAL);
      assert.equal(await buffer({ type: CAPTURE, memory: 0 }, {}, nr), EINVAL);
      assert.equal(await buffer({ type: CAPTURE, memory: MMAP, flags: 0x00800000 }, {}, nr), EINVAL);
      const descriptors = [fd];
      assert.equal(
        await buffer({ type: CAPTURE, memory: DMABUF, flags: 0x00800000 }, { descriptors }, nr),
        EINVAL,
      );
    }
    assert.equal(await buffer({ type: CAPTURE, memory: DMABUF }, {}, 9), ENOTTY);
  });

  it('has one DMABUF a plane', async () => {
    const before = openDescriptors();
    const closed = native.eventFd();
    closeSync(closed);
    const planes = new Uint8Array(3 * 64);
    for (const nr of [15, 93]) {
      const single = (descriptors: unknown): Promise<number> =>
        buffer({ type: CAPTURE, memory: DMABUF }, { descriptors }, nr);
      const planar = (descriptors: unknown): Promise<number> =>
        buffer({ type: CAPTURE_MPLANE, memory: DMABUF, length: 3 }, { planes, descriptors }, nr);
      assert.equal(await single([fd]), ENOTTY);
      assert.equal(await planar([fd, fd, 0]), ENOTTY);
      assert.equal(await buffer({ type: CAPTURE, memory: MMAP }, { descriptors: 'unread' }, nr), ENOTTY);
      for (const wrong of [
        undefined,
        null,
        'fd',
        fd,
        {},
        [],
        [fd, fd],
        [null],
        [-1],
        [0.5],
        [2 ** 31],
        [{}],
      ]) {
        assert.equal(await single(wrong), EINVAL);
      }
      for (const wrong of [[fd], [fd, fd], [fd, fd, -1], [-1, fd, fd], [fd, fd, fd, fd], [closed, fd, 'x']]) {
        assert.equal(await planar(wrong), EINVAL);
      }
      assert.equal(await single([closed]), EBADF);
      assert.equal(await planar([fd, closed, fd]), EBADF);
      assert.equal(await single([2 ** 31 - 1]), EBADF);
    }
    assert.equal(openDescriptors(), before);
  });

  it('may have its DMABUF closed while it is on the lane', async () => {
    const before = openDescriptors();
    const own = native.memoryFile('dmabuf', 4096);
    const record = bufferRecord({ type: CAPTURE, memory: DMABUF, m: 0x1234n });
    const done = run({ kind: 'buffer', nr: 15, buffer: record, descriptors: [own] });
    closeSync(own);
    assert.equal(await done, ENOTTY);
    assert.equal(u64(record, 64), 0n);
    assert.equal(openDescriptors(), before);
  });

  it('lies in open regions', async () => {
    const lies = (memory: unknown): Promise<number> => buffer({ type: CAPTURE, memory: USERPTR }, { memory });
    assert.equal(await lies([place()]), ENOTTY);
    assert.equal(await lies([place({ offset: 65536 - 4096 })]), ENOTTY);
    assert.equal(await lies([place({ offset: 65536, length: 0 })]), ENOTTY);
    for (const memory of [undefined, null, [], [place(), place()], [null], [{}], place(), 'memory']) {
      assert.equal(await lies(memory), EINVAL);
    }
    for (const wrong of [
      { offset: 65536 },
      { offset: 61441 },
      { length: 65537 },
      { offset: -1 },
      { offset: 0.5 },
      { offset: Number.MAX_SAFE_INTEGER },
      { length: 2 ** 32 },
      { length: -1 },
      { region: {} },
      { region: null },
      { region: file },
      { region: Object.create(region) },
      { region: Object.setPrototypeOf(new native.NodeFile(() => undefined), native.Region.prototype) },
    ]) {
      assert.equal(await lies([place(wrong)]), EINVAL, JSON.stringify(wrong));
    }
    const closed = new native.Region(fd, 0, 65536);
    closed.close();
    assert.equal(await lies([place({ region: closed })]), EINVAL);
  });

  it('may have its region closed while it is on the lane', async () => {
    const short = new native.Region(fd, 0, 65536);
    const done = run({
      kind: 'buffer',
      nr: 15,
      buffer: bufferRecord({ type: CAPTURE, memory: USERPTR }),
      memory: [{ region: short, offset: 0, length: 65536 }],
    });
    short.close();
    assert.equal(await done, ENOTTY);
  });

  it('shows no pointer and no descriptor afterwards', async () => {
    const single = bufferRecord({ type: CAPTURE, memory: USERPTR, m: 0x1234n });
    assert.equal(
      await run({ kind: 'buffer', nr: 15, buffer: single, memory: [place({ length: 8192 })] }),
      ENOTTY,
    );
    assert.deepEqual([u64(single, 64), u32(single, 72), u32(single, 80)], [0n, 8192, 0]);

    const multiple = bufferRecord({ type: CAPTURE_MPLANE, memory: USERPTR, length: 2, m: 0x1234n });
    const planes = new Uint8Array(128).fill(0xaa);
    const memory = [place(), place({ offset: 8192, length: 100 })];
    assert.equal(await run({ kind: 'buffer', nr: 15, buffer: multiple, planes, memory }), ENOTTY);
    assert.deepEqual([u64(multiple, 64), u32(multiple, 72), u32(multiple, 80)], [0n, 2, 0]);
    assert.deepEqual([u64(planes, 8), u32(planes, 4)], [0n, 4096]);
    assert.deepEqual([u64(planes, 72), u32(planes, 68)], [0n, 100]);
    assert.equal(u32(planes, 64), 0xaaaaaaaa);

    for (const descriptors of [[fd], [1_000_000]]) {
      const dmabuf = bufferRecord({ type: CAPTURE, memory: DMABUF, length: 4242, m: 0x1234n });
      assert.notEqual(await run({ kind: 'buffer', nr: 15, buffer: dmabuf, descriptors }), 0);
      assert.deepEqual([u64(dmabuf, 64), u32(dmabuf, 72), u32(dmabuf, 80)], [0n, 4242, 0]);
    }
    const shared = bufferRecord({ type: CAPTURE_MPLANE, memory: DMABUF, length: 2, m: 0x1234n });
    planes.fill(0xaa);
    assert.equal(
      await run({ kind: 'buffer', nr: 93, buffer: shared, planes, descriptors: [fd, fd] }),
      ENOTTY,
    );
    assert.deepEqual([u64(shared, 64), u32(shared, 80)], [0n, 0]);
    assert.deepEqual([u64(planes, 8), u64(planes, 72), u32(planes, 4)], [0n, 0n, 0xaaaaaaaa]);
    const asked = bufferRecord({ type: CAPTURE, memory: DMABUF, m: 0x1234n });
    assert.equal(await run({ kind: 'buffer', nr: 9, buffer: asked }), ENOTTY);
    assert.equal(u64(asked, 64), 0n);
  });

  it('keeps the offset of MMAP: that is data', async () => {
    const single = bufferRecord({ type: CAPTURE, memory: MMAP, m: 0xdeadbeef_00040000n });
    assert.equal(await run({ kind: 'buffer', nr: 15, buffer: single }), ENOTTY);
    assert.equal(u64(single, 64), 0x40000n);
    const dequeued = bufferRecord({ type: CAPTURE, memory: USERPTR, m: 0xdeadbeefn });
    assert.equal(await run({ kind: 'dequeueBuffer', buffer: dequeued }), ENOTTY);
    assert.equal(u64(dequeued, 64), 0n);
  });

  it('is dequeued under the same rules', async () => {
    const dequeue = (fields: Parameters<typeof bufferRecord>[0], rest: object = {}): Promise<number> =>
      run({ kind: 'dequeueBuffer', buffer: bufferRecord(fields), ...rest });
    assert.equal(await dequeue({ type: CAPTURE, memory: MMAP }), ENOTTY);
    assert.equal(await dequeue({ type: CAPTURE, memory: USERPTR }), ENOTTY);
    assert.equal(await dequeue({ type: CAPTURE, memory: DMABUF }), ENOTTY);
    assert.equal(await dequeue({ type: CAPTURE, memory: 3 }), EINVAL);
    assert.equal(await dequeue({ type: CAPTURE_MPLANE, memory: MMAP, length: 1 }), EINVAL);
    assert.equal(
      await dequeue({ type: CAPTURE_MPLANE, memory: MMAP, length: 3 }, { planes: new Uint8Array(192) }),
      ENOTTY,
    );
    assert.equal(await dequeue({ type: CAPTURE, memory: MMAP }, { planes: new Uint8Array(64) }), EINVAL);
  });
});
