import assert from 'node:assert/strict';
import { bufferBytes } from '../../../src/media/queues/buffer-size.js';

describe('buffer size', () => {
  it('how large a buffer a format asks for, by type', () => {
    const format = (type: number, fields: Record<number, number>) => {
      const raw = Buffer.alloc(208);
      raw.writeUInt32LE(type, 0);
      for (const [at, value] of Object.entries(fields)) raw.writeUInt32LE(value, 8 + Number(at));
      return raw;
    };
    const cases: [number, Record<number, number>, number][] = [
      [1, { 20: 1000 }, 1000],
      [2, { 20: 0xffff_ffff }, 0xffff_ffff],
      [4, { 8: 1440, 24: 16, 28: 18 }, 1440 * 34],
      [6, { 100: 77 }, 77],
      [7, { 100: 78 }, 78],
      [9, { 20: 100, 40: 200, 60: 400, 180: 2 }, 300],
      [10, { 20: 100, 180: 0xff }, 100],
      [11, { 4: 5 }, 5],
      [13, { 4: 6 }, 6],
      [3, { 20: 1000 }, 0],
      [0xffff_ffff, { 20: 1000 }, 0],
    ];
    for (const [type, fields, expected] of cases)
      assert.equal(bufferBytes(format(type, fields)), expected, `type ${type}`);
  });
});
