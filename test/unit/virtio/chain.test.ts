/** Descriptor chains as byte streams, however they are cut. */
import assert from 'node:assert/strict';
import type { Chain } from '../../../src/virtio/chain.js';
import { Turn } from '../../../src/virtio/turn.js';
import { Bench, BUFFERS, GUEST } from './bench.js';
import { INDIRECT, NEXT, type Piece, WRITE } from './driver.js';
import { chainOf, walkOf } from './support/chain-reader.js';

/** Offset of an indirect table in RAM. */
const TABLE = 0x40_0000;

describe('descriptor chain', () => {
  let bench: Bench;

  beforeEach(() => {
    bench = new Bench({ size: 16 });
  });

  afterEach(() => bench.close());

  const read = (head = 0, indirect = true): Chain => chainOf(bench, head, indirect);

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
        const walking = walkOf(bench);
        const heads: string[] = [];
        const chain = walking.advance(new Turn(), (head) => {
          heads.push(head.toString('hex'));
          return useful;
        });
        assert.deepEqual(heads, [bytes.toString('hex', 0, 16)]);
        assert.ok(chain?.readable.equals(bytes.subarray(0, copied)), `${cut}: ${chain?.readable.length}`);
      }
    bench.ring.chain(0, pieces(at, 4096), []);
    assert.equal(walkOf(bench).advance(new Turn(), () => assert.fail('it is short'))?.readable.length, 4096);
  });

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
