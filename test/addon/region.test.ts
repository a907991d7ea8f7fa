import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { native, type Region } from '../../src/native.js';
import { collectGarbage } from './support/garbage.js';
import { eventually, mappingsOf } from './support/process.js';

const GIB = 1 << 30;
const MIB = 1 << 20;

describe('addon: Region', () => {
  let fd: number;
  let region: Region | undefined;
  beforeEach(() => {
    fd = native.memoryFile('guest-ram', 3 * GIB);
    region = undefined;
  });
  afterEach(() => {
    region?.close();
    closeSync(fd);
  });

  it('is seen through windows of a stride and an overlap', () => {
    assert.equal(native.WINDOW_STRIDE, GIB);
    assert.equal(native.WINDOW_OVERLAP, MIB);
    region = new native.Region(fd, 0, 3 * GIB);
    assert.equal(region.size, 3 * GIB);
    assert.deepEqual(
      region.windows.map((window) => window.byteLength),
      [GIB + MIB, GIB + MIB, GIB],
    );
  });

  it('has a last window as short as it must be', () => {
    const lengths = (size: number): number[] => {
      const some = new native.Region(fd, 0, size);
      const result = some.windows.map((window) => window.byteLength);
      some.close();
      return result;
    };
    assert.deepEqual(lengths(1), [1]);
    assert.deepEqual(lengths(GIB), [GIB]);
    assert.deepEqual(lengths(GIB + 1), [GIB + 1, 1]);
    assert.deepEqual(lengths(GIB + 2 * MIB), [GIB + MIB, 2 * MIB]);
  });

  it('may be larger than the largest ArrayBuffer of Node 20: no window reaches 4 GiB', async () => {
    const file = native.memoryFile('large', 5 * GIB); // It takes memory only for the pages that are written.
    const some = new native.Region(file, 0, 5 * GIB);
    closeSync(file);
    assert.deepEqual(
      some.windows.map((window) => window.byteLength),
      [GIB + MIB, GIB + MIB, GIB + MIB, GIB + MIB, GIB],
    );
    new Uint8Array(some.windows[3]!)[GIB] = 9;
    assert.equal(new Uint8Array(some.windows[4]!)[0], 9);
    some.close();
    assert.ok(await eventually(() => mappingsOf('memfd:large') === 0));
  });

  it('makes a window when it is asked for: V8 collects all garbage for each', () => {
    const file = native.memoryFile('vast', 64 * GIB);
    collectGarbage();
    const before = process.memoryUsage().external;
    const grown = () => Math.round((process.memoryUsage().external - before) / GIB);
    const some = new native.Region(file, 0, 64 * GIB);
    closeSync(file);
    assert.deepEqual([some.windows.length, grown()], [64, 1]);
    new Uint8Array(some.windows[40]!)[7] = 1;
    assert.equal(new Uint8Array(some.windows[40]!)[7], 1);
    assert.equal(grown(), 2);
    some.close();
    assert.deepEqual([some.windows[40]!.byteLength, some.windows[41]!.byteLength], [0, 0]);
  });

  it('shows a range that crosses a stride in both windows', () => {
    region = new native.Region(fd, 0, 3 * GIB);
    const text = Buffer.from('across the border');
    writeSync(fd, text, 0, text.length, GIB - 8);
    assert.equal(Buffer.from(region.windows[0]!, GIB - 8, text.length).toString(), text.toString());
    assert.equal(Buffer.from(region.windows[1]!, 0, text.length - 8).toString(), text.subarray(8).toString());
    new Uint8Array(region.windows[1]!)[0] = 0x58;
    assert.equal(new Uint8Array(region.windows[0]!)[GIB], 0x58);
    const back = Buffer.alloc(1);
    readSync(fd, back, 0, 1, GIB);
    assert.equal(back[0], 0x58);
  });

  it('starts where it is told to, on a page or not', () => {
    writeSync(fd, Buffer.from('needle'), 0, 6, 5000);
    region = new native.Region(fd, 5000, 6);
    assert.equal(Buffer.from(region.windows[0]!).toString(), 'needle');
  });

  it('can be used with Atomics', () => {
    region = new native.Region(fd, 0, 4096);
    const words = new Uint16Array(region.windows[0]!, 0, 8);
    Atomics.store(words, 3, 0xbeef);
    assert.equal(Atomics.load(words, 3), 0xbeef);
  });

  it('is gone after close, and twice is harmless', async () => {
    const name = 'memfd:short-lived';
    const file = native.memoryFile('short-lived', GIB + MIB);
    const some = new native.Region(file, 0, GIB + MIB);
    const view = Buffer.from(some.windows[0]!, 0, 16);
    const words = new Uint32Array(some.windows[1]!, 0, 4);
    assert.equal(mappingsOf(name), 1);
    some.close();
    some.close();
    assert.deepEqual(
      some.windows.map((window) => window.byteLength),
      [0, 0],
    );
    assert.equal(view.length, 0);
    assert.throws(() => view.readUInt8(0), RangeError);
    assert.throws(() => Atomics.load(words, 0), TypeError);
    assert.ok(await eventually(() => mappingsOf(name) === 0));
    closeSync(file);
  });

  it('lives in its windows when it is collected without close', async () => {
    const file = native.memoryFile('collected', 2 * GIB);
    writeSync(file, Buffer.from('kept'), 0, 4, GIB);
    let view: Buffer | undefined = (() => {
      const { windows } = new native.Region(file, 0, 2 * GIB);
      return Buffer.from(windows[1]!, 0, 4);
    })();
    closeSync(file);
    for (let round = 0; round < 4; round++) {
      collectGarbage();
      await new Promise(setImmediate);
    }
    assert.equal(view.toString(), 'kept');
    assert.equal(mappingsOf('memfd:collected'), 1);
    view = undefined;
    assert.ok(
      await eventually(() => {
        collectGarbage();
        return mappingsOf('memfd:collected') === 0;
      }),
    );
  });

  it('refuses a file that ends before it does', () => {
    const folder = mkdtempSync(join(tmpdir(), 'vmb-region-'));
    writeFileSync(join(folder, 'short'), Buffer.alloc(8191));
    const short = openSync(join(folder, 'short'), 'r+');
    assert.throws(() => new native.Region(short, 0, 8192), { code: 'EINVAL', syscall: 'mmap' });
    assert.throws(() => new native.Region(short, 8000, 192), { code: 'EINVAL' });
    new native.Region(short, 8000, 191).close();
    closeSync(short);
    rmSync(folder, { recursive: true });
    assert.throws(() => new native.Region(fd, 3 * GIB, 1), { code: 'EINVAL' });
    assert.throws(() => new native.Region(fd, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER), {
      code: 'EINVAL',
    });
  });

  it('refuses what cannot be mapped so', () => {
    assert.throws(() => new native.Region(fd, 0, 0), { code: 'EINVAL' });
    assert.throws(() => new native.Region(-1, 0, 4096), { code: 'EBADF', errno: 9 });
    const readOnly = openSync(`/proc/self/fd/${fd}`, 'r');
    assert.throws(() => new native.Region(readOnly, 0, 4096), { code: 'EACCES' });
    closeSync(readOnly);
    const unmappable = native.eventFd();
    assert.throws(() => new native.Region(unmappable, 0, 4096), { code: 'ENODEV' });
    closeSync(unmappable);
  });

  it('outlives its descriptor', () => {
    const file = native.memoryFile('closed', 4096);
    const some = new native.Region(file, 0, 4096);
    closeSync(file);
    new Uint8Array(some.windows[0]!)[17] = 1;
    assert.equal(new Uint8Array(some.windows[0]!)[17], 1);
    some.close();
  });

  it('keeps its own list of windows', () => {
    region = new native.Region(fd, 0, 4096);
    assert.throws(() => (region!.windows as ArrayBuffer[]).pop(), TypeError);
    assert.throws(() => Object.assign(region!, { windows: [] }), TypeError);
    const [window] = region.windows;
    region.close();
    assert.equal(window!.byteLength, 0);
  });

  it('leaves a window alone that somebody else has detached', () => {
    region = new native.Region(fd, 0, 4096);
    new Uint8Array(region.windows[0]!)[0] = 7;
    const taken = take(region.windows[0]!);
    assert.equal(region.windows[0]!.byteLength, 0, 'it is not detached');
    region.close();
    assert.equal(region.windows[0]!.byteLength, 0);
    assert.equal(new Uint8Array(taken)[0], 7);
  });
});

type Transfer = (this: ArrayBuffer) => ArrayBuffer;

/** Detaches a buffer and returns its memory. structuredClone does not: for memory of an addon it copies (Node 20) or
 * throws (later versions). */
function take(buffer: ArrayBuffer): ArrayBuffer {
  let { transfer } = ArrayBuffer.prototype as { transfer?: Transfer };
  if (!transfer) {
    setFlagsFromString('--harmony-rab-gsab-transfer'); // The flag in Node 20; it has effect on new contexts.
    transfer = runInNewContext('ArrayBuffer.prototype.transfer') as Transfer;
  }
  return transfer.call(buffer);
}
