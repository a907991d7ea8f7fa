/** The call `join`: linearMapping on the lane, with packed pieces. */
import assert from 'node:assert/strict';
import type { LinearMapping, NodeFile, Region } from '../../src/native.js';
import { packPieces } from '../../src/virtio/region-bytes.js';
import { readMemory } from './support/address-space.js';
import { linearMemory, PAGE } from './support/linear-memory.js';
import { close, openNull, submit } from './support/node-file.js';
import { eventually } from './support/process.js';

const EINVAL = 22;
const MEMORY = 'lane-join';

interface Join {
  kind: 'join';
  regions: readonly Region[];
  pieces: Uint8Array;
  mapping?: LinearMapping;
}

describe('addon: join on the lane', () => {
  const { memory, page, piece, fresh } = linearMemory(MEMORY);
  let file: NodeFile;
  beforeEach(async () => {
    file = await openNull();
  });
  afterEach(() => close(file));

  const run = (call: unknown): Promise<number> => submit(file, call);
  const packed = (offset: bigint, length: number, region: number) => {
    const raw = Buffer.alloc(16);
    raw.writeBigUInt64LE(offset);
    raw.writeUInt32LE(length, 8);
    raw.writeUInt32LE(region, 12);
    return raw;
  };

  it('is the same pages in the order of the pieces', async () => {
    const order = Array.from({ length: 200 }, (_, n) => (n * 77) % 2000);
    for (const [at, index] of order.entries()) memory.words[(index * PAGE) / 4] = at;
    const call: Join = { kind: 'join', ...packPieces(order.map((index) => page(index))) };
    assert.deepEqual([call.regions.length, call.pieces.length], [1, 16 * 200]);
    assert.equal(await run(call), 0);
    assert.equal(call.mapping!.size, 200 * PAGE);
    const bytes = readMemory(fresh()[0]!.start, 200 * PAGE);
    for (const at of order.keys()) assert.equal(bytes.readUInt32LE(at * PAGE), at);
    call.mapping!.close();
    assert.ok(await eventually(() => fresh().length === 0), 'many pieces are unmapped elsewhere');
  });

  it('refuses what is no list of pieces, or cannot be joined', async () => {
    const regions = [memory.region];
    for (const [what, call] of Object.entries({
      'no pieces': { regions, pieces: Buffer.alloc(0) },
      'a part of one': { regions, pieces: Buffer.alloc(15) },
      'no bytes': { regions, pieces: [1, 2] },
      'no regions': { regions: {}, pieces: packed(0n, PAGE, 0) },
      'no such region': { regions, pieces: packed(0n, PAGE, 1) },
      'none of ours': { regions: [{ size: 1 }], pieces: packed(0n, PAGE, 0) },
      'out of its region': { regions, pieces: packed(2n ** 63n, PAGE, 0) },
      'an empty one': { regions, pieces: packed(0n, 0, 0) },
      'more than 4 GiB': { regions, pieces: Buffer.concat(Array(3).fill(packed(0n, 0xffff_f000, 0))) },
      'a boundary in a page': packPieces([piece(0, PAGE + 1), page(4)]),
      'too many': { regions, pieces: Buffer.alloc(16 * 65_537, packed(0n, PAGE, 0)) },
    })) {
      assert.equal(await run({ kind: 'join', ...call }), EINVAL, what);
      assert.equal('mapping' in call, false);
    }
    assert.equal(fresh().length, 0);
  });

  it('lives on when its regions are closed before the lane gets there', async () => {
    memory.words[PAGE / 4] = 0x7777;
    const call: Join = { kind: 'join', ...packPieces([page(1), page(3)]) };
    const done = run(call);
    memory.region.close();
    assert.equal(await done, 0);
    assert.equal(call.mapping!.size, 2 * PAGE);
    call.mapping!.close();
  });
});
