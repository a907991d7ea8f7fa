import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, readSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type LinearMapping, native, type Region, type RegionPiece } from '../../src/native.js';
import { eventually, mappingsOf } from './process.js';
import { bufferRecord, openNull } from './records.js';

const EINVAL = 22;
const ENOTTY = 25;
const PAGE = 4096;
const PAGES = 2048;
const MEMORY = 'linear-ram';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

interface Vma {
  start: number;
  end: number;
  offset: number;
}

/** This process's mappings of a file, in the order of their addresses. */
function vmasOf(name: string): Vma[] {
  const lines = readFileSync('/proc/self/maps', 'latin1').split('\n');
  return lines
    .filter((line) => line.includes(name))
    .map((line) => {
      const [, start, end, offset] = /^(\w+)-(\w+) rw-s (\w+)/.exec(line)!;
      return { start: Number(`0x${start}`), end: Number(`0x${end}`), offset: Number(`0x${offset}`) };
    });
}

const mapsLines = (): number => readFileSync('/proc/self/maps', 'latin1').split('\n').length;

function readMemory(address: number, length: number): Buffer {
  const memory = openSync('/proc/self/mem', 'r');
  const bytes = Buffer.alloc(length);
  assert.equal(readSync(memory, bytes, 0, length, address), length);
  closeSync(memory);
  return bytes;
}

describe('addon: linearMapping', () => {
  let fd: number;
  let region: Region;
  let words: Uint32Array;
  let made: LinearMapping[];
  let whole: Vma;

  beforeEach(() => {
    fd = native.memoryFile(MEMORY, PAGES * PAGE);
    region = new native.Region(fd, 0, PAGES * PAGE);
    words = new Uint32Array(region.windows[0]!);
    made = [];
    [whole] = vmasOf(MEMORY) as [Vma];
  });
  afterEach(() => {
    for (const one of made) one.close();
    region.close();
    closeSync(fd);
  });

  const piece = (offset: number, length: number, of = region): RegionPiece => ({
    region: of,
    offset,
    length,
  });
  const page = (index: number, count = 1): RegionPiece => piece(index * PAGE, count * PAGE);
  function join(...pieces: RegionPiece[]): LinearMapping {
    const mapping = native.linearMapping(pieces);
    assert.ok(typeof mapping === 'object', `errno ${mapping}`);
    made.push(mapping);
    return mapping;
  }
  const refused = (...pieces: unknown[]): unknown => native.linearMapping(pieces as RegionPiece[]);
  /** What came beside the region's own mapping. */
  const fresh = (): Vma[] => vmasOf(MEMORY).filter(({ start }) => start < whole.start || start >= whole.end);

  it('is the same pages in the order of the pieces', () => {
    const order = [7, 3, 1000, 0, 2047];
    for (const [at, index] of order.entries()) words[(index * PAGE) / 4] = 0xabc0 + at;
    const mapping = join(...order.map((index) => page(index)));
    assert.equal(mapping.size, 5 * PAGE);
    const vmas = fresh();
    assert.deepEqual(
      vmas.map(({ offset }) => offset / PAGE),
      order,
    );
    for (const [at, { start, end }] of vmas.entries()) {
      assert.equal(start, vmas[0]!.start + at * PAGE);
      assert.equal(end, start + PAGE);
      assert.equal(readMemory(start, 4).readUInt32LE(), 0xabc0 + at);
      words[(order[at]! * PAGE) / 4] = 0xdef0 + at;
      assert.equal(readMemory(start, 4).readUInt32LE(), 0xdef0 + at);
    }
  });

  it('is one mapping where the pieces follow each other in memory', () => {
    const mapping = join(page(4), page(5, 2), page(7), page(1));
    assert.equal(mapping.size, 5 * PAGE);
    assert.deepEqual(
      fresh().map(({ start, end, offset }) => [end - start, offset]),
      [
        [4 * PAGE, 4 * PAGE],
        [PAGE, PAGE],
      ],
    );
  });

  it('may start and end anywhere in a page', () => {
    words[(3 * PAGE + 96) / 4] = 0x1111;
    words[(9 * PAGE) / 4] = 0x2222;
    const mapping = join(piece(3 * PAGE + 96, PAGE - 96), page(9), piece(20 * PAGE, 5));
    assert.equal(mapping.size, PAGE - 96 + PAGE + 5);
    const [first, second] = fresh();
    assert.equal(readMemory(first!.start + 96, 4).readUInt32LE(), 0x1111);
    assert.equal(readMemory(second!.start, 4).readUInt32LE(), 0x2222);
    for (const [offset, length] of [
      [0, 1],
      [PAGE - 1, 1],
      [100, 3 * PAGE],
      [PAGES * PAGE - 7, 7],
    ]) {
      assert.equal(join(piece(offset!, length!)).size, length);
    }
  });

  it('refuses a boundary within a page between two pieces', () => {
    for (const pieces of [
      [piece(0, 100), page(1)],
      [page(1), piece(PAGE * 5 + 8, 8)],
      [page(1), piece(PAGE * 5, 8), page(7)],
      [piece(8, PAGE), page(2)],
      [piece(0, 100), piece(100, PAGE)],
    ]) {
      assert.equal(refused(...pieces), EINVAL);
    }
  });

  it('goes by the address in memory, not by the offset', () => {
    const odd = new native.Region(fd, 96, 4 * PAGE);
    assert.equal(refused(piece(0, PAGE, odd), piece(PAGE, PAGE, odd)), EINVAL);
    assert.equal(join(piece(0, PAGE - 96, odd), piece(2 * PAGE - 96, PAGE, odd)).size, 2 * PAGE - 96);
    odd.close();
  });

  it('joins regions, also neighbours in memory that are two files', () => {
    const files = [0, 1].map(() => native.memoryFile(MEMORY, PAGE));
    const regions = files.map((file) => new native.Region(file, 0, PAGE));
    for (const [i, each] of regions.entries()) new Uint32Array(each.windows[0]!)[0] = 0x5550 + i;
    const before = fresh().map(({ start }) => start);
    for (const order of [
      [0, 1],
      [1, 0],
    ]) {
      const mapping = join(...order.map((i) => piece(0, PAGE, regions[i])));
      const vmas = fresh().filter(({ start }) => !before.includes(start));
      assert.deepEqual(
        vmas.map(({ start }) => readMemory(start, 4).readUInt32LE() - 0x5550),
        order,
      );
      mapping.close();
    }
    for (const each of regions) each.close();
    for (const file of files) closeSync(file);
  });

  it('outlives its regions, and they it', async () => {
    words[PAGE / 4] = 0x7777;
    const mapping = join(page(1), page(3));
    region.close();
    closeSync(fd);
    const left = () => vmasOf(MEMORY).filter(({ end, start }) => end - start === PAGE);
    assert.ok(await eventually(() => mappingsOf(MEMORY) === 2));
    assert.equal(readMemory(left()[0]!.start, 4).readUInt32LE(), 0x7777);
    mapping.close();
    mapping.close();
    assert.equal(mappingsOf(MEMORY), 0);
    fd = native.memoryFile(MEMORY, PAGE);
  });

  it('of files that are no sealed memfd', () => {
    const path = `/dev/shm/vmb-linear-${process.pid}`;
    writeFileSync(path, '');
    truncateSync(path, 8 * PAGE);
    const file = openSync(path, 'r+');
    const shm = new native.Region(file, 0, 8 * PAGE);
    closeSync(file);
    rmSync(path);
    new Uint8Array(shm.windows[0]!)[5 * PAGE] = 0x41;
    join(piece(5 * PAGE, PAGE, shm), piece(0, PAGE, shm));
    const starts = vmasOf(path).filter(({ end, start }) => end - start === PAGE);
    assert.equal(starts.length, 2);
    assert.equal(readMemory(starts[0]!.start, 1)[0], 0x41);
    shm.close();
  });

  it('1024 scattered pieces', () => {
    const order = Array.from({ length: 1024 }, (_, i) => (i * 1021 * 2) % PAGES);
    assert.equal(new Set(order).size, 1024);
    for (const [at, index] of order.entries()) words[(index * PAGE) / 4] = at;
    const mapping = join(...order.map((index) => page(index)));
    assert.equal(mapping.size, 1024 * PAGE);
    const [{ start }] = fresh() as [Vma];
    const bytes = readMemory(start, 1024 * PAGE);
    for (let at = 0; at < 1024; at++) assert.equal(bytes.readUInt32LE(at * PAGE), at);
    mapping.close();
    assert.equal(fresh().length, 0);
  });

  it('has another address than all that are alive', () => {
    for (let i = 0; i < 50; i++) join(page(5), page(1));
    assert.equal(new Set(fresh().map(({ start }) => start)).size, 100);
  });

  it('leaks nothing, made or refused', () => {
    const before = mapsLines();
    const many = Array.from({ length: 65_537 }, (_, i) => page((i * 2) % PAGES));
    assert.equal(native.linearMapping(many), EINVAL);
    for (let i = 0; i < 1000; i++) {
      const mapping = native.linearMapping([page(3), page(1), page(2, 5)]) as LinearMapping;
      mapping.close();
      assert.equal(refused(page(1), piece(5, 5), page(3)), EINVAL);
    }
    assert.equal(fresh().length, 0);
    // V8 has mappings of its own.
    assert.ok(mapsLines() - before < 100);
  });

  it('answers ENOMEM where the process has no room for so many, and leaves nothing', () => {
    const limit = Number(readFileSync('/proc/sys/vm/max_map_count', 'latin1'));
    if (limit > 65_536) return;
    const before = mapsLines();
    const most = Array.from({ length: 65_536 }, (_, i) => page((i * 2) % PAGES));
    assert.equal(native.linearMapping(most), 12);
    assert.equal(fresh().length, 0);
    // V8 has mappings of its own.
    assert.ok(mapsLines() - before < 100);
    join(page(1));
  });

  it('refuses what is empty, out of its region or too large', () => {
    assert.equal(refused(), EINVAL);
    assert.equal(refused(piece(0, 0)), EINVAL);
    assert.equal(refused(page(1), page(2, 0), page(3)), EINVAL);
    assert.equal(refused(page(PAGES)), EINVAL);
    assert.equal(refused(piece(PAGE, PAGES * PAGE)), EINVAL);
    assert.equal(refused(piece(Number.MAX_SAFE_INTEGER, PAGE)), EINVAL);
    assert.equal(refused(piece(0, 2 ** 32)), EINVAL);
    const half = native.memoryFile(MEMORY, 2 ** 31);
    const large = new native.Region(half, 0, 2 ** 31);
    assert.equal(refused(piece(0, 2 ** 31, large), piece(0, 2 ** 31, large)), EINVAL);
    assert.equal(join(piece(0, 2 ** 31, large), piece(0, 2 ** 31 - 1, large)).size, 2 ** 32 - 1);
    large.close();
    closeSync(half);
  });

  it('refuses what is no piece of an open region', () => {
    const closed = new native.Region(fd, 0, PAGE);
    closed.close();
    const mapping = join(page(1));
    for (const wrong of [
      undefined,
      null,
      1,
      'page',
      {},
      [],
      { ...page(1), region: undefined },
      { ...page(1), region: {} },
      { ...page(1), region: closed },
      { ...page(1), region: mapping },
      { ...page(1), region: Object.create(region) },
      { ...page(1), region: new Proxy(region, {}) },
      { ...page(1), offset: -1 },
      { ...page(1), offset: 0.5 },
      { ...page(1), length: Number.NaN },
      { ...page(1), length: 4096n },
    ]) {
      assert.equal(refused(wrong), EINVAL);
      assert.equal(refused(page(1), wrong), EINVAL);
    }
    for (const wrong of [undefined, null, 1, 'pages', {}, new Uint8Array(4), page(1)]) {
      assert.throws(() => native.linearMapping(wrong as never), TypeError);
    }
    assert.throws(
      () =>
        refused({
          get region(): Region {
            throw new RangeError('an accessor');
          },
        }),
      RangeError,
    );
  });

  it('survives accessors that close the region, and lists that shrink', () => {
    const short = new native.Region(fd, 0, 4 * PAGE);
    const list = [
      piece(0, PAGE, short),
      {
        region: short,
        length: PAGE,
        get offset() {
          short.close();
          return PAGE * 2;
        },
      },
    ];
    assert.equal(join(...list).size, 2 * PAGE);
    const shrinking: unknown[] = [page(1), page(2), page(3)];
    shrinking[0] = {
      ...page(1),
      get length() {
        shrinking.length = 1;
        return PAGE;
      },
    };
    assert.equal(refused(...[]), EINVAL);
    assert.equal(native.linearMapping(shrinking as RegionPiece[]), EINVAL);
  });

  it('has a size that stays, and a close of its own', () => {
    const mapping = join(page(1));
    assert.throws(() => Object.assign(mapping, { size: 1 }), TypeError);
    for (const receiver of [{}, null, undefined, 1, region, Object.create(mapping), new Proxy(mapping, {})]) {
      assert.throws(() => mapping.close.call(receiver as never), TypeError);
    }
    assert.equal(fresh().length, 1);
    assert.equal(mapping.constructor, Object);
    assert.throws(() => region.close.call(mapping as never), TypeError);
  });

  it('is unmapped when it is collected without close', async () => {
    native.linearMapping([page(1), page(5)]);
    assert.ok(
      await eventually(() => {
        collectGarbage();
        return fresh().length === 0;
      }),
    );
  });

  it("holds a buffer's plane wherever a region may, until the call is over", async () => {
    const file = await openNull();
    const queue = (memory: unknown, done?: (errno: number) => void): number | undefined => {
      const call = { kind: 'buffer', nr: 15, buffer: bufferRecord({ type: 1, memory: 2 }), memory: [memory] };
      if (done === undefined) return file.run(call as never);
      file.submit(call as never, done);
      return undefined;
    };
    const mapping = join(page(9), page(3));
    assert.equal(queue({ region: mapping, offset: 0, length: 2 * PAGE }), ENOTTY);
    assert.equal(queue({ region: mapping, offset: PAGE + 1, length: PAGE }), EINVAL);
    for (const forged of [{ ...mapping }, Object.create(mapping), new Proxy(mapping, {})]) {
      assert.equal(queue({ region: forged, offset: 0, length: PAGE }), EINVAL);
    }
    const done = new Promise((resolve) => queue({ region: mapping, offset: 0, length: PAGE }, resolve));
    mapping.close();
    assert.equal(await done, ENOTTY);
    assert.equal(fresh().length, 0);
    assert.equal(queue({ region: mapping, offset: 0, length: PAGE }), EINVAL);
    await new Promise<void>((resolve) => file.close(resolve));
  });
});
