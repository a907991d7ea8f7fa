import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type NodeFile, native, type Region } from '../../src/native.js';

const EBADF = 9;
const EINVAL = 22;
const ENOTTY = 25;

const CAPTURE = 1;
const CAPTURE_MPLANE = 9;
const MMAP = 1;
const USERPTR = 2;
const DMABUF = 4;

/** A v4l2_buffer, written without the product's own tables. */
function bufferRecord(fields: {
  type: number;
  memory: number;
  flags?: number;
  length?: number;
  m?: bigint;
}): Uint8Array {
  const view = new DataView(new ArrayBuffer(88));
  view.setUint32(4, fields.type, true);
  view.setUint32(12, fields.flags ?? 0, true);
  view.setUint32(60, fields.memory, true);
  view.setBigUint64(64, fields.m ?? 0n, true);
  view.setUint32(72, fields.length ?? 0, true);
  view.setInt32(80, 1, true);
  return new Uint8Array(view.buffer);
}

function controlsRecord(count: number, which = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(32));
  view.setUint32(0, which, true);
  view.setUint32(4, count, true);
  view.setInt32(12, 1, true);
  view.setBigUint64(24, 0x1122334455667788n, true);
  return new Uint8Array(view.buffer);
}

function control(size: number, value = 0n): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint32(0, 0x00980900, true);
  view.setUint32(4, size, true);
  view.setBigUint64(12, value, true);
  return new Uint8Array(view.buffer);
}

const u32 = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
const u64 = (bytes: Uint8Array, at: number): bigint =>
  new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(at, true);

describe('addon: node calls', () => {
  let file: NodeFile;
  let fd: number;
  let region: Region;
  // Whatever is thrown at it, not only what the type allows.
  const run = (call: unknown): number => file.run(call as never);

  beforeEach(async () => {
    fd = native.memoryFile('planes', 65536);
    region = new native.Region(fd, 0, 65536);
    file = new native.NodeFile(() => undefined);
    assert.equal(await new Promise((resolve) => file.open('/dev/null', resolve)), 0);
  });
  afterEach(async () => {
    await new Promise<void>((resolve) => file.close(resolve));
    region.close();
    closeSync(fd);
  });

  it('refuse what is no call', () => {
    for (const call of [undefined, null, 1, 'ioctl', true, 1n, Symbol.iterator]) {
      assert.throws(() => run(call), TypeError);
      assert.throws(() => file.submit(call as never, () => undefined), TypeError);
    }
    assert.throws(() => file.submit({ kind: 'watch', events: 0 }, undefined as never), TypeError);
    assert.throws(() => file.open({} as never, () => undefined), TypeError);
    assert.throws(() => file.open('/dev/null', 'done' as never), TypeError);
    assert.throws(() => file.close(1 as never), TypeError);
    for (const kind of [undefined, null, 0, {}, 'IOCTL', 'ioctl\0', '', 'x'.repeat(100_000)]) {
      assert.equal(run({ kind }), EINVAL);
    }
    assert.equal(run([]), EINVAL);
    assert.equal(
      run(() => undefined),
      EINVAL,
    );
    assert.equal(run(new Proxy({}, {})), EINVAL);
  });

  it('let through what a property throws', () => {
    const thrown = new Error('mine');
    const call = {
      get kind(): string {
        throw thrown;
      },
    };
    assert.throws(() => run(call), thrown);
    assert.throws(() => file.submit(call as never, () => undefined), thrown);
    const late = {
      kind: 'ioctl',
      nr: 0,
      get payload(): Uint8Array {
        throw thrown;
      },
    };
    assert.throws(() => run(late), thrown);
    assert.equal(run({ kind: 'ioctl', nr: 0, payload: new Uint8Array(104) }), ENOTTY);
  });

  it('find the file closed when a property closes it', () => {
    const call = {
      kind: 'ioctl',
      nr: 0,
      get payload(): Uint8Array {
        file.close();
        return new Uint8Array(104);
      },
    };
    assert.equal(run(call), EBADF);
  });

  describe('ioctl', () => {
    const ioctl = (nr: unknown, payload: unknown): number => run({ kind: 'ioctl', nr, payload });

    it('takes exactly _IOC_SIZE bytes of a Uint8Array', () => {
      for (const length of [0, 103, 105, 4096]) assert.equal(ioctl(0, new Uint8Array(length)), EINVAL);
      for (const payload of [
        undefined,
        null,
        104,
        {},
        new ArrayBuffer(104),
        new Uint32Array(26),
        new Array(104),
      ]) {
        assert.equal(ioctl(0, payload), EINVAL);
      }
      assert.equal(ioctl(0, new DataView(new ArrayBuffer(104))), EINVAL);
      assert.equal(ioctl(0, Buffer.alloc(104)), ENOTTY);
      assert.equal(ioctl(0, new Uint8Array(new SharedArrayBuffer(104))), ENOTTY);
      assert.equal(ioctl(0, new Uint8Array(region.windows[0]!, 8, 104)), ENOTTY);
    });

    it('takes a number', () => {
      for (const nr of [
        undefined,
        null,
        '0',
        -1,
        0.5,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        2 ** 60,
        {},
        0n,
      ]) {
        assert.equal(ioctl(nr, new Uint8Array(104)), EINVAL, String(nr));
      }
    });

    it('passes the list, and nothing else', () => {
      const layout = native.layout();
      const passed: number[] = [];
      for (let nr = 0; nr < 300; nr++) {
        const name = Object.keys(layout)
          .find((key) => key.startsWith('nr ') && layout[key] === nr)
          ?.slice(3);
        const size = name === undefined ? 8 : layout[`size ${name}`]!;
        // A size that is wrong is refused before the kernel is asked, a number that is not in the list before that.
        const listed = ioctl(nr, new Uint8Array(size + 1)) === EINVAL;
        assert.equal(ioctl(nr, new Uint8Array(size)), ENOTTY, name);
        if (listed) passed.push(nr);
      }
      // biome-ignore format: a list
      assert.deepEqual(passed, [
        0, 2, 4, 5, 8, 16, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 33, 34, 36, 37, 38, 39, 46, 47, 48, 49, 50,
        54, 55, 56, 57, 58, 59, 60, 63, 64, 65, 66, 69, 74, 75, 76, 77, 78, 82, 87, 88, 90, 91, 92, 94, 95, 96, 97, 98,
        99, 100, 101, 103, 104,
      ]);
    });

    it('passes no overlay: that has pointers', () => {
      for (const [nr, size, at] of [
        [4, 208, 0],
        [5, 208, 0],
        [64, 208, 0],
        [92, 256, 16],
      ] as const) {
        for (let type = 0; type < 16; type++) {
          const payload = new Uint8Array(size);
          payload[at] = type;
          assert.equal(ioctl(nr, payload), type === 3 || type === 8 ? EINVAL : ENOTTY);
        }
      }
    });
  });

  describe('buffer', () => {
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
      assert.equal(
        run({ kind: 'buffer', nr: 15, buffer: single, memory: [place({ length: 8192 })] }),
        ENOTTY,
      );
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

  describe('controls', () => {
    const controls = (header: Uint8Array, array: unknown, payloads: unknown, nr: unknown = 71): number =>
      run({ kind: 'controls', nr, controls: header, array, payloads });

    it('is one of three', () => {
      for (const nr of [71, 72, 73])
        assert.equal(controls(controlsRecord(0), new Uint8Array(0), [], nr), ENOTTY);
      for (const nr of [70, 74, 15, -1, '71']) {
        assert.equal(controls(controlsRecord(0), new Uint8Array(0), [], nr), EINVAL);
      }
    });

    it('has as many controls as it says, at most 1024', () => {
      const many = (n: number): [Uint8Array, null[]] => [new Uint8Array(n * 20), Array<null>(n).fill(null)];
      assert.equal(controls(controlsRecord(1024), ...many(1024)), ENOTTY);
      assert.equal(controls(controlsRecord(1025), ...many(1025)), EINVAL);
      assert.equal(controls(controlsRecord(0xffffffff), ...many(1)), EINVAL);
      assert.equal(controls(controlsRecord(2), ...many(1)), EINVAL);
      assert.equal(controls(controlsRecord(1), new Uint8Array(24), [null]), EINVAL);
      assert.equal(controls(controlsRecord(1), new Uint8Array(20), []), EINVAL);
      assert.equal(controls(controlsRecord(1), new Uint8Array(20), [null, null]), EINVAL);
      assert.equal(controls(controlsRecord(1), new Uint8Array(20), undefined), EINVAL);
      assert.equal(controls(controlsRecord(1), new Uint8Array(20), [undefined]), EINVAL);
      assert.equal(controls(controlsRecord(1), new Uint8Array(20), { length: 1 }), EINVAL);
      assert.equal(controls(new Uint8Array(31), new Uint8Array(0), []), EINVAL);
    });

    it('has payloads of the size that the control says', () => {
      const sized = (size: number, payload: unknown): number =>
        controls(controlsRecord(1), control(size), [payload]);
      assert.equal(sized(16, new Uint8Array(16)), ENOTTY);
      assert.equal(sized(16, new Uint8Array(15)), EINVAL);
      assert.equal(sized(16, new Uint8Array(17)), EINVAL);
      assert.equal(sized(0, new Uint8Array(0)), ENOTTY);
      assert.equal(sized(0xffffffff, new Uint8Array(16)), EINVAL);
      assert.equal(sized(16, new Uint16Array(8)), EINVAL);
      assert.equal(sized(16, 'payload'), EINVAL);
    });

    it('reaches no request', () => {
      assert.equal(controls(controlsRecord(0, 0x0f010000), new Uint8Array(0), []), EINVAL);
      assert.equal(controls(controlsRecord(0, 0x0f000000), new Uint8Array(0), []), ENOTTY);
    });

    it("shows the caller's own pointers, sizes and values afterwards, and no descriptor", () => {
      const header = controlsRecord(3);
      const array = Buffer.concat([control(16, 0xaaaan), control(24, 0xbbbbn), control(0, 0xccccn)]);
      const before = Buffer.from(array);
      const payload = new Uint8Array(16).fill(7);
      assert.equal(controls(header, array, [payload, null, new Uint8Array(0)]), ENOTTY);
      assert.deepEqual(array, before);
      assert.deepEqual(payload, new Uint8Array(16).fill(7));
      assert.deepEqual([u32(header, 4), u32(header, 12), u64(header, 24)], [3, 0, 0x1122334455667788n]);
    });

    it('copies an array before an accessor can take it away', () => {
      const array = control(8);
      const payloads: unknown[] = [null];
      Object.defineProperty(payloads, 0, {
        get: () => {
          structuredClone(array.buffer, { transfer: [array.buffer] });
          return new Uint8Array(8);
        },
      });
      assert.equal(controls(controlsRecord(1), array, payloads), ENOTTY);
    });
  });

  describe('the others', () => {
    it('refuse what does not fit', () => {
      for (const event of [undefined, new Uint8Array(135), new Uint8Array(137), 1]) {
        assert.equal(run({ kind: 'dequeueEvent', event }), EINVAL);
      }
      for (const events of [undefined, -1, 0.5, 2 ** 32, 0x80000000, 0x40000000, 0x20, '1']) {
        assert.equal(run({ kind: 'watch', events }), EINVAL, String(events));
      }
      for (const [offset, length] of [
        [0, 0],
        [1, 4096],
        [0, undefined],
        [-4096, 4096],
        [0, 2 ** 63],
        ['0', 4096],
      ]) {
        assert.equal(run({ kind: 'map', offset, length }), EINVAL, `${offset} ${length}`);
      }
    });

    it('set a region where they can, and else drop it', async () => {
      const mapped = new native.NodeFile(() => undefined);
      assert.equal(await new Promise((resolve) => mapped.open(fd, resolve)), 0);
      const frozen = Object.freeze({ kind: 'map', offset: 0, length: 4096 } as const);
      assert.equal(mapped.run(frozen), 0);
      const throwing = {
        kind: 'map',
        offset: 0,
        length: 4096,
        set region(_: Region) {
          throw new Error('mine');
        },
      } as const;
      assert.equal(mapped.run(throwing as never), 0);
      assert.equal(await new Promise((resolve) => mapped.submit(throwing as never, resolve)), 0);
      await new Promise<void>((resolve) => mapped.close(resolve));
    });
  });
});
