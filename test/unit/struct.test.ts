import assert from 'node:assert/strict';
import { bytes, i32, struct, text, u8, u16, u32, u64 } from '../../src/struct.js';

const record = struct({ a: u8, b: u16, c: u32, d: i32, e: u64, f: bytes(3), g: text(4) });
const hex = `01030207060504feffffff${'0807060504030201'.slice(0, 12)}0000aabb0068690000`;

describe('struct', () => {
  it('sums sizes into offsets, without padding', () => {
    assert.equal(record.size, 26);
    assert.deepEqual(record.offset, { a: 0, b: 1, c: 3, d: 7, e: 11, f: 19, g: 22 });
  });

  it('writes little-endian bytes in declared order', () => {
    const value = {
      a: 1,
      b: 0x0203,
      c: 0x04050607,
      d: -2,
      e: 0x030405060708,
      f: Buffer.from('aabb', 'hex'),
      g: 'hi',
    };
    assert.equal(record.encode(value).toString('hex'), hex);
  });

  it('reads what it writes, at any offset', () => {
    const raw = Buffer.concat([Buffer.alloc(5, 0xff), Buffer.from(hex, 'hex'), Buffer.alloc(2, 0xff)]);
    const { f, ...rest } = record.read(raw, 5);
    assert.deepEqual(rest, { a: 1, b: 0x0203, c: 0x04050607, d: -2, e: 0x030405060708, g: 'hi' });
    assert.equal(Buffer.from(f).toString('hex'), 'aabb00');
  });

  it('refuses bytes that do not hold the record', () => {
    assert.throws(() => record.read(Buffer.alloc(25)), RangeError);
    assert.throws(() => record.read(Buffer.alloc(30), 5), RangeError);
    assert.throws(() => record.write(Buffer.alloc(30), record.read(Buffer.alloc(26)), 5), RangeError);
    assert.throws(() => record.read(Buffer.alloc(30), -1), RangeError);
  });

  it('refuses bytes that are longer than their field, and fills up shorter ones', () => {
    const one = struct({ f: bytes(2) });
    assert.throws(() => one.encode({ f: Buffer.alloc(3) }), RangeError);
    assert.equal(one.encode({ f: Buffer.from([7]) }).toString('hex'), '0700');
  });

  it('keeps 64-bit numbers exact up to 2^53 - 1', () => {
    const one = struct({ n: u64 });
    assert.equal(one.read(one.encode({ n: Number.MAX_SAFE_INTEGER })).n, Number.MAX_SAFE_INTEGER);
    assert.equal(Number.isSafeInteger(one.read(Buffer.alloc(8, 0xff)).n), false);
  });

  it('cuts text at its field and reads it up to the first NUL', () => {
    const one = struct({ s: text(4) });
    assert.equal(one.encode({ s: 'abcdef' }).toString(), 'abcd');
    assert.equal(one.read(Buffer.from('ab\0c')).s, 'ab');
    assert.equal(one.read(Buffer.from('abcd')).s, 'abcd');
  });
});
