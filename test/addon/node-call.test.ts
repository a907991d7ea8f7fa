import assert from 'node:assert/strict';
import { closeSync, readFileSync } from 'node:fs';
import { type NodeFile, native, type Region } from '../../src/native.js';
import { Fifo } from './support/fifo.js';
import { close, open, openNull, submit } from './support/node-file.js';
import { descriptorsOn } from './support/process.js';

const EBADF = 9;
const EINVAL = 22;
const ENOTTY = 25;
const S_HW_FREQ_SEEK = 82;

describe('addon: node calls', () => {
  let file: NodeFile;
  let fd: number;
  let region: Region;
  const run = (call: unknown): Promise<number> => submit(file, call);
  const done = (): void => undefined;

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

  it('refuse what is no call', async () => {
    for (const call of [undefined, null, 1, 'ioctl', true, 1n, Symbol.iterator]) {
      assert.throws(() => file.submit(call as never, done), TypeError);
    }
    assert.throws(() => file.submit({ kind: 'watch', events: 0 }, undefined as never), TypeError);
    for (const path of [undefined, {}, fd]) {
      assert.throws(() => file.open(path as never, done), TypeError);
    }
    assert.throws(() => file.open('/dev/null', 'done' as never), TypeError);
    assert.throws(() => file.close(1 as never), TypeError);
    for (const kind of [undefined, null, 0, {}, 'IOCTL', 'ioctl\0', '', 'x'.repeat(100_000)]) {
      assert.equal(await run({ kind }), EINVAL);
    }
    assert.equal(await run([]), EINVAL);
    assert.equal(await run(done), EINVAL);
    assert.equal(await run(new Proxy({}, {})), EINVAL);
  });

  it('let through what a property throws', async () => {
    const thrown = new Error('mine');
    const call = {
      get kind(): string {
        throw thrown;
      },
    };
    assert.throws(() => file.submit(call as never, done), thrown);
    const late = {
      kind: 'ioctl',
      nr: 0,
      get payload(): Uint8Array {
        throw thrown;
      },
    };
    assert.throws(() => file.submit(late as never, done), thrown);
    assert.equal(await run({ kind: 'ioctl', nr: 0, payload: new Uint8Array(104) }), ENOTTY);
  });

  it('find the file closed when a property closes it', async () => {
    const call = {
      kind: 'ioctl',
      nr: 0,
      get payload(): Uint8Array {
        file.close();
        return new Uint8Array(104);
      },
    };
    assert.equal(await run(call), EBADF);
  });

  describe('ioctl', () => {
    const ioctl = (nr: unknown, payload: unknown): Promise<number> => run({ kind: 'ioctl', nr, payload });

    it('takes exactly _IOC_SIZE bytes of a Uint8Array', async () => {
      for (const length of [0, 103, 105, 4096]) assert.equal(await ioctl(0, new Uint8Array(length)), EINVAL);
      for (const payload of [
        undefined,
        null,
        104,
        {},
        new ArrayBuffer(104),
        new Uint32Array(26),
        new Array(104),
      ]) {
        assert.equal(await ioctl(0, payload), EINVAL);
      }
      assert.equal(await ioctl(0, new DataView(new ArrayBuffer(104))), EINVAL);
      assert.equal(await ioctl(0, Buffer.alloc(104)), ENOTTY);
      assert.equal(await ioctl(0, new Uint8Array(new SharedArrayBuffer(104))), ENOTTY);
      assert.equal(await ioctl(0, new Uint8Array(region.windows[0]!, 8, 104)), ENOTTY);
    });

    it('takes a number', async () => {
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
        assert.equal(await ioctl(nr, new Uint8Array(104)), EINVAL, String(nr));
      }
    });

    it('passes the list, and nothing else', async () => {
      const layout = native.layout();
      const passed: number[] = [];
      for (let nr = 0; nr < 300; nr++) {
        const name = Object.keys(layout)
          .find((key) => key.startsWith('nr ') && layout[key] === nr)
          ?.slice(3);
        const size = name === undefined ? 8 : layout[`size ${name}`]!;
        // The addon checks the list first, then the size, and only then calls the kernel. So EINVAL for a wrong size
        // means that the number is in the list.
        const listed = (await ioctl(nr, new Uint8Array(size + 1))) === EINVAL;
        assert.equal(await ioctl(nr, new Uint8Array(size)), ENOTTY, name);
        if (listed) passed.push(nr);
      }
      // biome-ignore format: a list
      assert.deepEqual(passed, [
        0, 2, 4, 5, 8, 16, 18, 19, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 33, 34, 36, 37, 38, 39, 46, 47, 48, 49, 50,
        54, 55, 56, 57, 58, 59, 60, 63, 64, 65, 66, 69, 74, 75, 76, 77, 78, 82, 87, 88, 90, 91, 92, 94, 95, 96, 97, 98,
        99, 100, 101, 103, 104,
      ]);
    });

    it('seeks, and leaves the file non-blocking', async () => {
      const fifo = new Fifo();
      const seeker = new native.NodeFile(() => undefined);
      assert.equal(await open(seeker, fifo.path), 0);
      const own = descriptorsOn(fifo.path).filter((other) => other !== fifo.fd);
      assert.equal(own.length, 1);
      const isNonBlocking = () =>
        (Number.parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${own}`, 'latin1'))![1]!, 8) &
          0o4000) !==
        0;
      assert.ok(isNonBlocking());
      const call = { kind: 'ioctl', nr: S_HW_FREQ_SEEK, payload: new Uint8Array(48) };
      assert.equal(await submit(seeker, call), ENOTTY);
      assert.ok(isNonBlocking());
      await close(seeker);
      fifo.close();
    });

    it('passes no overlay: that has pointers', async () => {
      for (const [nr, size, at] of [
        [4, 208, 0],
        [5, 208, 0],
        [64, 208, 0],
        [92, 256, 16],
      ] as const) {
        for (let type = 0; type < 16; type++) {
          const payload = new Uint8Array(size);
          payload[at] = type;
          assert.equal(await ioctl(nr, payload), type === 3 || type === 8 ? EINVAL : ENOTTY);
        }
      }
    });
  });

  describe('the others', () => {
    it('refuse what does not fit', async () => {
      for (const event of [undefined, new Uint8Array(135), new Uint8Array(137), 1]) {
        assert.equal(await run({ kind: 'dequeueEvent', event }), EINVAL);
      }
      for (const events of [undefined, -1, 0.5, 2 ** 32, 0x80000000, 0x40000000, 0x20, '1']) {
        assert.equal(await run({ kind: 'watch', events }), EINVAL, String(events));
      }
      for (const [offset, length] of [
        [0, 0],
        [1, 4096],
        [0, undefined],
        [-4096, 4096],
        [0, 2 ** 63],
        ['0', 4096],
      ]) {
        assert.equal(await run({ kind: 'map', offset, length }), EINVAL, `${offset} ${length}`);
      }
    });

    it('set a region where they can, and else drop it', async () => {
      const mapped = new native.NodeFile(() => undefined);
      assert.equal(await open(mapped, `/proc/self/fd/${fd}`), 0);
      const frozen = Object.freeze({ kind: 'map', offset: 0, length: 4096 } as const);
      assert.equal(await submit(mapped, frozen), 0);
      const throwing = {
        kind: 'map',
        offset: 0,
        length: 4096,
        set region(_: Region) {
          throw new Error('mine');
        },
      } as const;
      assert.equal(await submit(mapped, throwing), 0);
      await close(mapped);
    });
  });
});
