/** Descriptor chains that VIRTIO forbids, and the limits of one. */
import assert from 'node:assert/strict';
import { type Chain, ChainError, MAX_READABLE } from '../../../src/virtio/chain.js';
import { Bench, BUFFERS, GUEST, RAM } from './bench.js';
import { INDIRECT, NEXT, WRITE } from './driver.js';
import { chainOf } from './support/chain-reader.js';

/** Offset of an indirect table in RAM. */
const TABLE = 0x40_0000;

describe('a faulty descriptor chain', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench({ size: 16 });
  });

  afterEach(() => bench.close());

  const read = (head = 0, indirect = true): Chain => chainOf(bench, head, indirect);
  const isMalformed = (why: RegExp, head = 0, indirect = true) =>
    assert.throws(
      () => read(head, indirect),
      (error) => error instanceof ChainError && why.test(error.message),
    );

  describe('is malformed with', () => {
    const readable = () => ({ address: GUEST + BUFFERS, length: 4 });

    it('a head outside the table', () => isMalformed(/descriptor 16 of 16/, 16));
    it('the largest head', () => isMalformed(/descriptor 65535/, 65535));

    it('a next outside the table', () => {
      bench.ring.describe(0, { ...readable(), flags: NEXT, next: 16 });
      isMalformed(/descriptor 16 of 16/);
    });

    it('a descriptor that is its own next', () => {
      bench.ring.describe(0, { ...readable(), flags: NEXT, next: 0 });
      isMalformed(/loop/);
    });

    it('a loop through the whole table', () => {
      for (let index = 0; index < 16; index++)
        bench.ring.describe(index, { ...readable(), flags: NEXT, next: (index + 1) % 16 });
      isMalformed(/loop/);
    });

    it('a loop of empty descriptors', () => {
      bench.ring.describe(0, { address: 0, length: 0, flags: NEXT, next: 1 });
      bench.ring.describe(1, { address: 0, length: 0, flags: NEXT, next: 0 });
      isMalformed(/loop/);
    });

    it('a loop in an indirect table', () => {
      bench.ring.describe(0, { ...readable(), flags: NEXT, next: 1 }, TABLE);
      bench.ring.describe(1, { ...readable(), flags: NEXT, next: 0 }, TABLE);
      bench.ring.describe(0, { address: GUEST + TABLE, length: 32, flags: INDIRECT });
      isMalformed(/loop/);
    });

    it('a next outside an indirect table', () => {
      bench.ring.describe(0, { ...readable(), flags: NEXT, next: 2 }, TABLE);
      bench.ring.describe(0, { address: GUEST + TABLE, length: 32, flags: INDIRECT });
      isMalformed(/descriptor 2 of 2/);
    });

    it('a readable descriptor after a writable one', () => {
      bench.ring.describe(0, { ...readable(), flags: NEXT | WRITE, next: 1 });
      bench.ring.describe(1, readable());
      isMalformed(/readable descriptor after/);
    });

    it('an indirect descriptor that was not negotiated', () => {
      bench.ring.chain(0, [readable()], [], TABLE);
      bench.ring.describe(0, { address: GUEST + TABLE, length: 16, flags: INDIRECT });
      assert.equal(read().readable.length, 4);
      isMalformed(/none is allowed/, 0, false);
    });

    it('an indirect table in an indirect table', () => {
      bench.ring.describe(0, { address: GUEST + TABLE, length: 16, flags: INDIRECT }, TABLE);
      bench.ring.describe(0, { address: GUEST + TABLE, length: 16, flags: INDIRECT });
      isMalformed(/none is allowed/);
    });

    it('an indirect descriptor with a next one', () => {
      bench.ring.chain(0, [readable()], [], TABLE);
      bench.ring.describe(0, { address: GUEST + TABLE, length: 16, flags: INDIRECT | NEXT, next: 1 });
      isMalformed(/next one/);
    });

    for (const length of [0, 1, 15, 17, 32769 * 16, 0xffff_fff0])
      it(`an indirect table of ${length} bytes`, () => {
        bench.ring.describe(0, { address: GUEST + TABLE, length, flags: INDIRECT });
        isMalformed(/indirect table of/);
      });

    it('an indirect table outside guest memory', () => {
      bench.ring.describe(0, { address: GUEST + RAM - 16, length: 32, flags: INDIRECT });
      isMalformed(/not in guest memory/);
    });

    for (const flags of [0, WRITE])
      for (const [name, address, length] of [
        ['outside', 0x1000, 4],
        ['half outside', GUEST + RAM - 2, 4],
        ['above 2^53', 2 ** 60, 4],
        ['at the end of addresses', 0xffff_ffff_ffff_f000, 0x1000],
      ] as const)
        it(`${flags ? 'writable' : 'readable'} memory ${name}`, () => {
          bench.ring.describe(0, { address: 0, length: 0 });
          bench.ram.bytes.writeBigUInt64LE(
            name === 'at the end of addresses' ? 0xffff_ffff_ffff_f000n : BigInt(address),
            0,
          );
          bench.ram.bytes.writeUInt32LE(length, 8);
          bench.ram.bytes.writeUInt16LE(flags, 12);
          isMalformed(/not in guest memory/);
        });

    it(`more than ${MAX_READABLE} readable bytes`, () => {
      const half = { address: GUEST + BUFFERS, length: MAX_READABLE / 2 };
      bench.ring.chain(0, [half, half], []);
      assert.equal(read().readable.length, MAX_READABLE);
      bench.ring.chain(0, [half, half, { address: GUEST, length: 1 }], []);
      isMalformed(/readable bytes/);
    });

    it('more than 4 GiB in all', () => {
      // 1025 times 4 MiB of the same memory; 1024 are exactly 2^32.
      const part = { address: GUEST, length: 4 * 1024 * 1024 };
      const table = (count: number) => {
        bench.ring.chain(
          0,
          [],
          Array.from({ length: count }, () => part),
          TABLE,
        );
        bench.ring.describe(0, { address: GUEST + TABLE, length: 16 * count, flags: INDIRECT });
      };
      table(1024);
      assert.equal(read().writableLength, 2 ** 32);
      table(1025);
      isMalformed(/4 GiB/);
    });
  });
});
