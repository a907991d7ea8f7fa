import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type NodeFile, native, type Region } from '../../src/native.js';
import { bufferRecord, openNull, u32, u64 } from './records.js';

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
  // Whatever is thrown at it, not only what the type allows.
  const run = (call: unknown): number => file.run(call as never);

  beforeEach(async () => {
    fd = native.memoryFile('planes', 65536);
    region = new native.Region(fd, 0, 65536);
    file = await openNull();
  });
  afterEach(async () => {
    await new Promise<void>((resolve) => file.close(resolve));
    region.close();
    closeSync(fd);
  });

  const buffer = (fields: Parameters<typeof bufferRecord>[0], rest: object = {}, nr = 15): number =>
    run({ kind: 'buffer', nr, buffer: bufferRecord(fields), ...rest });
  const place = (fields: object = {}): unknown => ({ region, offset: 0, length: 4096, ...fields });

  it('is one of three', () => {
    for (const nr of [9, 15, 93]) assert.equal(buffer({ type: CAPTURE, memory: MMAP }, {}, nr), ENOTTY);
    for (const nr of [0, 8, 16, 17, 92, -1, 1.5])
      assert.equal(buffer({ type: CAPTURE, memory: MMAP }, {}, nr), EINVAL);
  });

  it('takes 88 bytes', () => {
    for (const length of [0, 87, 89]) {
      assert.equal(run({ kind: 'buffer', nr: 15, buffer: new Uint8Array(length) }), EINVAL);
    }
    assert.equal(run({ kind: 'buffer', nr: 15 }), EINVAL);
  });

  it('has planes where the type has them, as many as it says', () => {
    const planes = (n: number): object => ({ planes: new Uint8Array(n) });
    assert.equal(buffer({ type: CAPTURE, memory: MMAP }, planes(64)), EINVAL);
    assert.equal(buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 1 }), EINVAL);
    assert.equal(buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 2 }, planes(64)), EINVAL);
    assert.equal(buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 1 }, planes(65)), EINVAL);
    assert.equal(buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 9 }, planes(9 * 64)), EINVAL);
    for (const n of [0, 1, 8]) {
      assert.equal(buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: n }, planes(n * 64)), ENOTTY);
    }
    assert.equal(buffer({ type: CAPTURE_MPLANE, memory: MMAP, length: 1 }, { planes: null }), EINVAL);
  });

  it('carries no descriptor', () => {
    for (const nr of [15, 93]) {
      assert.equal(buffer({ type: CAPTURE, memory: DMABUF }, {}, nr), EINVAL);
      assert.equal(buffer({ type: CAPTURE, memory: 0 }, {}, nr), EINVAL);
      assert.equal(buffer({ type: CAPTURE, memory: MMAP, flags: 0x00800000 }, {}, nr), EINVAL);
    }
    assert.equal(buffer({ type: CAPTURE, memory: DMABUF }, {}, 9), ENOTTY);
  });

  it('lies in open regions', () => {
    const lies = (memory: unknown): number => buffer({ type: CAPTURE, memory: USERPTR }, { memory });
    assert.equal(lies([place()]), ENOTTY);
    assert.equal(lies([place({ offset: 65536 - 4096 })]), ENOTTY);
    assert.equal(lies([place({ offset: 65536, length: 0 })]), ENOTTY);
    for (const memory of [undefined, null, [], [place(), place()], [null], [{}], place(), 'memory']) {
      assert.equal(lies(memory), EINVAL);
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
      assert.equal(lies([place(wrong)]), EINVAL, JSON.stringify(wrong));
    }
    const closed = new native.Region(fd, 0, 65536);
    closed.close();
    assert.equal(lies([place({ region: closed })]), EINVAL);
  });

  it('may have its region closed while it is on the lane', async () => {
    const short = new native.Region(fd, 0, 65536);
    const done = new Promise((resolve) =>
      file.submit(
        {
          kind: 'buffer',
          nr: 15,
          buffer: bufferRecord({ type: CAPTURE, memory: USERPTR }),
          memory: [{ region: short, offset: 0, length: 65536 }],
        },
        resolve,
      ),
    );
    short.close();
    assert.equal(await done, ENOTTY);
  });

  it('shows no pointer and no descriptor afterwards', () => {
    const single = bufferRecord({ type: CAPTURE, memory: USERPTR, m: 0x1234n });
    assert.equal(run({ kind: 'buffer', nr: 15, buffer: single, memory: [place({ length: 8192 })] }), ENOTTY);
    assert.deepEqual([u64(single, 64), u32(single, 72), u32(single, 80)], [0n, 8192, 0]);

    const multiple = bufferRecord({ type: CAPTURE_MPLANE, memory: USERPTR, length: 2, m: 0x1234n });
    const planes = new Uint8Array(128).fill(0xaa);
    const memory = [place(), place({ offset: 8192, length: 100 })];
    assert.equal(run({ kind: 'buffer', nr: 15, buffer: multiple, planes, memory }), ENOTTY);
    assert.deepEqual([u64(multiple, 64), u32(multiple, 72), u32(multiple, 80)], [0n, 2, 0]);
    assert.deepEqual([u64(planes, 8), u32(planes, 4)], [0n, 4096]);
    assert.deepEqual([u64(planes, 72), u32(planes, 68)], [0n, 100]);
    assert.equal(u32(planes, 64), 0xaaaaaaaa);
  });

  it('keeps the offset of MMAP: that is data', () => {
    const single = bufferRecord({ type: CAPTURE, memory: MMAP, m: 0xdeadbeef_00040000n });
    assert.equal(run({ kind: 'buffer', nr: 15, buffer: single }), ENOTTY);
    assert.equal(u64(single, 64), 0x40000n);
    const dequeued = bufferRecord({ type: CAPTURE, memory: USERPTR, m: 0xdeadbeefn });
    assert.equal(run({ kind: 'dequeueBuffer', buffer: dequeued }), ENOTTY);
    assert.equal(u64(dequeued, 64), 0n);
  });

  it('is dequeued under the same rules', () => {
    const dequeue = (fields: Parameters<typeof bufferRecord>[0], rest: object = {}): number =>
      run({ kind: 'dequeueBuffer', buffer: bufferRecord(fields), ...rest });
    assert.equal(dequeue({ type: CAPTURE, memory: MMAP }), ENOTTY);
    assert.equal(dequeue({ type: CAPTURE, memory: USERPTR }), ENOTTY);
    assert.equal(dequeue({ type: CAPTURE, memory: DMABUF }), EINVAL);
    assert.equal(dequeue({ type: CAPTURE_MPLANE, memory: MMAP, length: 1 }), EINVAL);
    assert.equal(
      dequeue({ type: CAPTURE_MPLANE, memory: MMAP, length: 3 }, { planes: new Uint8Array(192) }),
      ENOTTY,
    );
    assert.equal(dequeue({ type: CAPTURE, memory: MMAP }, { planes: new Uint8Array(64) }), EINVAL);
  });
});
