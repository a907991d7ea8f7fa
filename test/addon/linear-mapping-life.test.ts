/** Calls that linearMapping refuses, and how long its mappings live. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native, type Region, type RegionPiece } from '../../src/native.js';
import { readMemory, vmasOf } from './support/address-space.js';
import { collectGarbage } from './support/garbage.js';
import { linearMemory, PAGE, PAGES } from './support/linear-memory.js';
import { close, openNull, submit } from './support/node-file.js';
import { eventually, mappingsOf } from './support/process.js';
import { bufferRecord } from './support/records.js';

const EINVAL = 22;
const ENOTTY = 25;
const MEMORY = 'linear-life';

describe('addon: linearMapping, refused and over', () => {
  const { memory, piece, page, join, refused, fresh } = linearMemory(MEMORY);

  it('refuses what is empty, out of its region or too large', () => {
    assert.equal(refused(), -EINVAL);
    assert.equal(refused(piece(0, 0)), -EINVAL);
    assert.equal(refused(page(1), page(2, 0), page(3)), -EINVAL);
    assert.equal(refused(page(PAGES)), -EINVAL);
    assert.equal(refused(piece(PAGE, PAGES * PAGE)), -EINVAL);
    assert.equal(refused(piece(Number.MAX_SAFE_INTEGER, PAGE)), -EINVAL);
    assert.equal(refused(piece(0, 2 ** 32)), -EINVAL);
    const half = native.memoryFile(MEMORY, 2 ** 31);
    const large = new native.Region(half, 0, 2 ** 31);
    assert.equal(refused(piece(0, 2 ** 31, large), piece(0, 2 ** 31, large)), -EINVAL);
    assert.equal(join(piece(0, 2 ** 31, large), piece(0, 2 ** 31 - 1, large)).size, 2 ** 32 - 1);
    large.close();
    closeSync(half);
  });

  it('refuses what is no piece of an open region', () => {
    const closed = new native.Region(memory.fd, 0, PAGE);
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
      { ...page(1), region: Object.create(memory.region) },
      { ...page(1), region: new Proxy(memory.region, {}) },
      { ...page(1), offset: -1 },
      { ...page(1), offset: 0.5 },
      { ...page(1), length: Number.NaN },
      { ...page(1), length: 4096n },
    ]) {
      assert.equal(refused(wrong), -EINVAL);
      assert.equal(refused(page(1), wrong), -EINVAL);
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
    const short = new native.Region(memory.fd, 0, 4 * PAGE);
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
    assert.equal(refused(...[]), -EINVAL);
    assert.equal(native.linearMapping(shrinking as RegionPiece[]), -EINVAL);
  });

  it('has a size that stays, and a close of its own', () => {
    const mapping = join(page(1));
    assert.throws(() => Object.assign(mapping, { size: 1 }), TypeError);
    for (const receiver of [
      {},
      null,
      undefined,
      1,
      memory.region,
      Object.create(mapping),
      new Proxy(mapping, {}),
    ]) {
      assert.throws(() => mapping.close.call(receiver as never), TypeError);
    }
    assert.equal(fresh().length, 1);
    assert.equal(mapping.constructor, Object);
    assert.throws(() => memory.region.close.call(mapping as never), TypeError);
  });

  it('outlives its regions, and they it', async () => {
    memory.words[PAGE / 4] = 0x7777;
    const mapping = join(page(1), page(3));
    memory.region.close();
    closeSync(memory.fd);
    const left = () => vmasOf(MEMORY).filter(({ end, start }) => end - start === PAGE);
    assert.ok(await eventually(() => mappingsOf(MEMORY) === 2));
    assert.equal(readMemory(left()[0]!.start, 4).readUInt32LE(), 0x7777);
    mapping.close();
    mapping.close();
    assert.equal(mappingsOf(MEMORY), 0);
    memory.fd = native.memoryFile(MEMORY, PAGE);
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
    const queue = (memory: unknown): Promise<number> => {
      const buffer = bufferRecord({ type: 1, memory: 2 });
      return submit(file, { kind: 'buffer', nr: 15, buffer, memory: [memory] });
    };
    const mapping = join(page(9), page(3));
    assert.equal(await queue({ region: mapping, offset: 0, length: 2 * PAGE }), ENOTTY);
    assert.equal(await queue({ region: mapping, offset: PAGE + 1, length: PAGE }), EINVAL);
    for (const forged of [{ ...mapping }, Object.create(mapping), new Proxy(mapping, {})]) {
      assert.equal(await queue({ region: forged, offset: 0, length: PAGE }), EINVAL);
    }
    const done = queue({ region: mapping, offset: 0, length: PAGE });
    mapping.close();
    assert.equal(await done, ENOTTY);
    assert.equal(fresh().length, 0);
    assert.equal(await queue({ region: mapping, offset: 0, length: PAGE }), EINVAL);
    await close(file);
  });
});
