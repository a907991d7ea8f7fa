import assert from 'node:assert/strict';
import { sharedMemorySize } from '../../../src/cli/size.js';

const usage = (message: RegExp) => ({ code: 'ERR_USAGE', message });

describe('cli/size', () => {
  it('reads sizes', () => {
    for (const [text, size] of [
      ['65536', 65536],
      ['64K', 65536],
      ['256M', 2 ** 28],
      ['1g', 2 ** 30],
      ['4GiB', 2 ** 32],
      ['64G', 2 ** 36],
    ] as const)
      assert.equal(sharedMemorySize(text), size);
  });

  for (const text of [
    '',
    '0',
    '32K',
    '128G',
    '3M',
    '1.5G',
    '-1G',
    '1T',
    'G',
    '0x10000',
    '1e9',
    '99999999999999999999G',
  ])
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.throws(() => sharedMemorySize(text), usage(/power of two/)));
});
