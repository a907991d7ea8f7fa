import assert from 'node:assert/strict';
import { cut, gather, lengthOf, scatter } from '../../../src/client/pieces.js';
import { FlatRam } from './support/flat-ram.js';

describe('pieces of guest memory', () => {
  const pieces = [
    { address: 0x1000, length: 10 },
    { address: 0x2000, length: 3 },
  ];

  it('are cut at given lengths, of which the last repeats', () => {
    assert.deepEqual(cut(pieces, [4, 1]), [
      { address: 0x1000, length: 4 },
      { address: 0x1004, length: 1 },
      { address: 0x1005, length: 1 },
      { address: 0x1006, length: 1 },
      { address: 0x1007, length: 1 },
      { address: 0x1008, length: 1 },
      { address: 0x1009, length: 1 },
      { address: 0x2000, length: 1 },
      { address: 0x2001, length: 1 },
      { address: 0x2002, length: 1 },
    ]);
  });

  it('keep their own borders when cut', () => {
    assert.deepEqual(cut(pieces, [7]), [
      { address: 0x1000, length: 7 },
      { address: 0x1007, length: 3 },
      { address: 0x2000, length: 3 },
    ]);
  });

  it('stay as they are where a length has no end, and lose empty ones', () => {
    assert.deepEqual(cut([...pieces, { address: 1, length: 0 }], [Number.POSITIVE_INFINITY]), pieces);
  });

  it('hold the same bytes however they are cut', () => {
    const ram = new FlatRam(0x1000, 0x2000);
    const bytes = Buffer.from('hello, world!');
    for (let length = 1; length <= 13; length++) {
      ram.bytes.fill(0);
      scatter(ram, cut(pieces, [length]), bytes);
      assert.deepEqual(gather(ram, pieces), bytes);
      assert.equal(lengthOf(cut(pieces, [length])), 13);
    }
  });

  it('are gathered up to a limit, and refuse bytes that do not fit', () => {
    const ram = new FlatRam(0x1000, 0x2000);
    scatter(ram, pieces, Buffer.from('0123456789abc'));
    assert.equal(gather(ram, pieces, 11).toString(), '0123456789a');
    assert.equal(gather(ram, pieces, 0).length, 0);
    assert.throws(() => scatter(ram, pieces, Buffer.alloc(14)), RangeError);
  });
});
