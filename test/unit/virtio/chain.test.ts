import assert from 'node:assert/strict';
import { type Chain, ChainError, MAX_READABLE } from '../../../src/virtio/chain.js';
import { Walk } from '../../../src/virtio/chain-walk.js';
import { Turn } from '../../../src/virtio/turn.js';
import { Bench, BUFFERS, GUEST, RAM } from './bench.js';
import { INDIRECT, NEXT, type Piece, WRITE } from './driver.js';

/** Offset of an indirect table in RAM. */
const TABLE = 0x40_0000;

describe('descriptor chain', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench({ size: 16 });
  });

  afterEach(() => bench.close());

  const walk = (head = 0, indirect = true): Walk => {
    const { buffer, byteOffset, byteLength } = bench.rings.descriptors;
    return new Walk(bench.memory, new DataView(buffer, byteOffset, byteLength), head, indirect);
  };
  /** Pops one chain, in as many turns as necessary. */
  const read = (head = 0, indirect = true): Chain => {
    const walking = walk(head, indirect);
    for (;;) {
      const chain = walking.advance(new Turn());
      if (chain) return chain;
    }
  };

  it('copies of a long readable part what is of use, by its first bytes, however it is cut; of a short one all', () => {
    const bytes = Buffer.from(Array.from({ length: 10_000 }, (_, n) => n % 251));
    const at = bench.put(0, bytes);
    for (const cut of [[10_000], [3, 9_997], [5, 5, 5, 5, 9_980]])
      for (const [useful, copied] of [
        [0, 16],
        [17, 17],
        [9_999, 9_999],
        [20_000, 10_000],
      ] as const) {
        bench.ring.chain(0, pieces(at, ...cut), []);
        const walking = walk();
        const heads: string[] = [];
        const chain = walking.advance(new Turn(), (head) => {
          heads.push(head.toString('hex'));
          return useful;
        });
        assert.deepEqual(heads, [bytes.toString('hex', 0, 16)]);
        assert.ok(chain?.readable.equals(bytes.subarray(0, copied)), `${cut}: ${chain?.readable.length}`);
      }
    bench.ring.chain(0, pieces(at, 4096), []);
    assert.equal(walk().advance(new Turn(), () => assert.fail('it is short'))?.readable.length, 4096);
  });

  const isMalformed = (why: RegExp, head = 0, indirect = true) =>
    assert.throws(
      () => read(head, indirect),
      (error) => error instanceof ChainError && why.test(error.message),
    );

  const pieces = (address: number, ...lengths: number[]): Piece[] => {
    let at = address;
    return lengths.map((length) => {
      const piece = { address: at, length };
      at += length;
      return piece;
    });
  };

  it('copies the readable part and writes the writable part', () => {
    const request = bench.put(0, Buffer.from('request'));
    const response = bench.put(100, Buffer.alloc(16, 0xaa));
    bench.ring.chain(3, pieces(request, 7), pieces(response, 16));
    const chain = read(3);
    assert.equal(chain.head, 3);
    assert.equal(chain.readable.toString(), 'request');
    assert.equal(chain.writableLength, 16);
    bench.put(0, Buffer.from('CHANGED'));
    assert.equal(chain.readable.toString(), 'request', 'the guest changed what had been copied');
    assert.equal(chain.reply([Buffer.from('head'), Buffer.alloc(0), Buffer.from('tail')]), 8);
    assert.deepEqual(bench.seen(100, 16), Buffer.from('headtail'.padEnd(16, '\xaa'), 'latin1'));
  });

  it('is the same however the readable part is cut', () => {
    const bytes = Buffer.from(Array.from({ length: 40 }, (_, index) => index + 1));
    const address = bench.put(0, bytes);
    for (let cut = 0; cut <= bytes.length; cut++) {
      bench.ring.chain(0, pieces(address, cut, bytes.length - cut), []);
      assert.deepEqual(read().readable, bytes, `cut at ${cut}`);
    }
  });

  it('is the same however the writable part is cut', () => {
    const reply = Buffer.from(Array.from({ length: 40 }, (_, index) => index + 1));
    const request = bench.put(0, Buffer.from('rq'));
    for (let cut = 0; cut <= reply.length; cut++) {
      const near = bench.put(64, Buffer.alloc(64));
      const far = bench.put(1024, Buffer.alloc(64));
      const writable = [
        { address: near, length: cut },
        { address: far, length: reply.length - cut },
      ];
      bench.ring.chain(0, pieces(request, 2), writable);
      const chain = read();
      assert.equal(chain.writableLength, 40);
      assert.equal(chain.reply([reply.subarray(0, 7), reply.subarray(7)]), 40);
      assert.deepEqual(
        Buffer.concat([bench.seen(64, cut), bench.seen(1024, 40 - cut)]),
        reply,
        `cut at ${cut}`,
      );
      assert.equal(bench.seen(64 + cut, 1)[0], 0, 'wrote past the first piece');
    }
  });

  it('is the same whether the table is indirect or not', () => {
    const address = bench.put(0, Buffer.from('abcdef'));
    bench.ring.chain(0, pieces(address, 1, 2, 3), pieces(address + 100, 5, 6), TABLE);
    bench.ring.describe(9, { address: GUEST + TABLE, length: 5 * 16, flags: INDIRECT });
    const chain = read(9);
    assert.equal(chain.head, 9);
    assert.equal(chain.readable.toString(), 'abcdef');
    assert.equal(chain.writableLength, 11);
  });

  it('takes direct descriptors before an indirect one', () => {
    const address = bench.put(0, Buffer.from('abcdef'));
    bench.ring.chain(0, pieces(address + 3, 3), pieces(address + 64, 8), TABLE);
    bench.ring.describe(0, { address, length: 3, flags: NEXT, next: 1 });
    // WRITE on the descriptor of a table has no meaning.
    bench.ring.describe(1, { address: GUEST + TABLE, length: 2 * 16, flags: INDIRECT | WRITE });
    const chain = read();
    assert.equal(chain.readable.toString(), 'abcdef');
    assert.equal(chain.writableLength, 8);
  });

  it('replies the prefix that fits, and never fills up', () => {
    const target = bench.put(0, Buffer.alloc(16, 0x55));
    bench.ring.chain(0, [], pieces(target, 4, 3));
    const chain = read();
    assert.equal(chain.reply([Buffer.from('0123456789')]), 7);
    assert.equal(bench.seen(0, 16).toString('latin1'), '0123456'.padEnd(16, '\x55'));
    assert.equal(chain.reply([Buffer.from('AB')]), 2);
    assert.equal(bench.seen(0, 8).toString('latin1'), 'AB23456\x55');
    assert.equal(chain.reply([]), 0);
  });

  it('lets the readable and the writable part be the same memory', () => {
    const shared = bench.put(0, Buffer.from('payload!'));
    bench.ring.chain(0, pieces(shared, 8), pieces(shared, 8));
    const chain = read();
    chain.reply([Buffer.from('answered')]);
    assert.equal(chain.readable.toString(), 'payload!');
    assert.equal(bench.seen(0, 8).toString(), 'answered');
  });

  it('tolerates descriptors of length 0, wherever they point', () => {
    const address = bench.put(0, Buffer.from('xy'));
    const nowhere = { address: 0xdead_0000_0000, length: 0 };
    bench.ring.chain(
      0,
      [nowhere, { address, length: 2 }, nowhere],
      [nowhere, { address, length: 4 }, nowhere],
    );
    const chain = read();
    assert.equal(chain.readable.toString(), 'xy');
    assert.equal(chain.writableLength, 4);
    bench.ring.describe(0, { address: 0, length: 0 });
    assert.equal(read().readable.length, 0);
  });

  it('answers 0 when the memory is gone by the time of the reply', () => {
    const gone = bench.put(0, Buffer.alloc(8));
    bench.ring.chain(0, pieces(gone, 2), pieces(gone, 8));
    const chain = read();
    const region = bench.memory.regions[0]!;
    bench.memory.remove(region);
    assert.equal(chain.reply([Buffer.from('late')]), 0);
    assert.equal(chain.readable.length, 2);
  });

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

  it('takes an indirect table of 32768 entries', () => {
    const one = { address: GUEST + BUFFERS, length: 1 };
    const entries = Array.from({ length: 32768 }, () => one);
    bench.ring.chain(0, entries.slice(0, 20000), entries.slice(20000), TABLE);
    bench.ring.describe(0, { address: GUEST + TABLE, length: 32768 * 16, flags: INDIRECT });
    const chain = read();
    assert.equal(chain.readable.length, 20000);
    assert.equal(chain.writableLength, 12768);
  });
});
