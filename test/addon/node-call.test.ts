import assert from 'node:assert/strict';
import { closeSync, readFileSync } from 'node:fs';
import { type NodeFile, native, type Region } from '../../src/native.js';
import { openNull } from './support/records.js';

const EBADF = 9;
const EAGAIN = 11;
const EINVAL = 22;
const ENOTTY = 25;
const S_HW_FREQ_SEEK = 82;

describe('addon: node calls', () => {
  let file: NodeFile;
  let fd: number;
  let region: Region;
  // `unknown`, because the tests also pass values that the type does not allow.
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
        // The addon checks the list first, then the size, and only then calls the kernel. So EINVAL for a wrong size
        // means that the number is in the list.
        const listed = ioctl(nr, new Uint8Array(size + 1)) === EINVAL;
        assert.equal(ioctl(nr, new Uint8Array(size)), nr === S_HW_FREQ_SEEK ? EAGAIN : ENOTTY, name);
        if (listed) passed.push(nr);
      }
      // biome-ignore format: a list
      assert.deepEqual(passed, [
        0, 2, 4, 5, 8, 16, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 33, 34, 36, 37, 38, 39, 46, 47, 48, 49, 50,
        54, 55, 56, 57, 58, 59, 60, 63, 64, 65, 66, 69, 74, 75, 76, 77, 78, 82, 87, 88, 90, 91, 92, 94, 95, 96, 97, 98,
        99, 100, 101, 103, 104,
      ]);
    });

    it('seeks on the lane only, and leaves the file non-blocking', async () => {
      const own = native.eventFd();
      const seeker = new native.NodeFile(() => undefined);
      const call = { kind: 'ioctl', nr: S_HW_FREQ_SEEK, payload: new Uint8Array(48) } as const;
      const isNonBlocking = () =>
        (Number.parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${own}`, 'latin1'))![1]!, 8) &
          0o4000) !==
        0;
      assert.equal(await new Promise((resolve) => seeker.open(own, resolve)), 0);
      assert.equal(seeker.run(call), EAGAIN);
      assert.equal(await new Promise((resolve) => seeker.submit(call, resolve)), ENOTTY);
      assert.ok(isNonBlocking());
      await new Promise<void>((resolve) => seeker.close(resolve));
      closeSync(own);
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
