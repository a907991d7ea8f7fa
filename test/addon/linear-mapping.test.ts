import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { type LinearMapping, native } from '../../src/native.js';
import { mapsLines, readMemory, type Vma, vmasOf } from './support/address-space.js';
import { linearMemory, PAGE, PAGES } from './support/linear-memory.js';
import { eventually } from './support/process.js';

const EINVAL = 22;
const MEMORY = 'linear-ram';

describe('addon: linearMapping', () => {
  const { memory, piece, page, join, refused, fresh } = linearMemory(MEMORY);

  it('is the same pages in the order of the pieces', () => {
    const order = [7, 3, 1000, 0, 2047];
    for (const [at, index] of order.entries()) memory.words[(index * PAGE) / 4] = 0xabc0 + at;
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
      memory.words[(order[at]! * PAGE) / 4] = 0xdef0 + at;
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
    memory.words[(3 * PAGE + 96) / 4] = 0x1111;
    memory.words[(9 * PAGE) / 4] = 0x2222;
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
      assert.equal(refused(...pieces), -EINVAL);
    }
  });

  it('goes by the address in memory, not by the offset', () => {
    const odd = new native.Region(memory.fd, 96, 4 * PAGE);
    assert.equal(refused(piece(0, PAGE, odd), piece(PAGE, PAGE, odd)), -EINVAL);
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

  it('1024 scattered pieces', async () => {
    const order = Array.from({ length: 1024 }, (_, i) => (i * 1021 * 2) % PAGES);
    assert.equal(new Set(order).size, 1024);
    for (const [at, index] of order.entries()) memory.words[(index * PAGE) / 4] = at;
    const mapping = join(...order.map((index) => page(index)));
    assert.equal(mapping.size, 1024 * PAGE);
    const [{ start }] = fresh() as [Vma];
    const bytes = readMemory(start, 1024 * PAGE);
    for (let at = 0; at < 1024; at++) assert.equal(bytes.readUInt32LE(at * PAGE), at);
    mapping.close();
    assert.ok(await eventually(() => fresh().length === 0), 'so many are unmapped elsewhere');
  });

  it('has another address than all that are alive', () => {
    for (let i = 0; i < 50; i++) join(page(5), page(1));
    assert.equal(new Set(fresh().map(({ start }) => start)).size, 100);
  });

  it('leaks nothing, made or refused', () => {
    const before = mapsLines();
    const many = Array.from({ length: 65_537 }, (_, i) => page((i * 2) % PAGES));
    assert.equal(native.linearMapping(many), -EINVAL);
    for (let i = 0; i < 1000; i++) {
      const mapping = native.linearMapping([page(3), page(1), page(2, 5)]) as LinearMapping;
      mapping.close();
      assert.equal(refused(page(1), piece(5, 5), page(3)), -EINVAL);
    }
    assert.equal(fresh().length, 0);
    // V8 may have made mappings too.
    assert.ok(mapsLines() - before < 100);
  });

  it('answers ENOMEM where the process has no room for so many, and leaves nothing', () => {
    const limit = Number(readFileSync('/proc/sys/vm/max_map_count', 'latin1'));
    if (limit > 65_536) return;
    const before = mapsLines();
    const most = Array.from({ length: 65_536 }, (_, i) => page((i * 2) % PAGES));
    assert.equal(native.linearMapping(most), -12);
    assert.equal(fresh().length, 0);
    // V8 may have made mappings too.
    assert.ok(mapsLines() - before < 100);
    join(page(1));
  });
});
