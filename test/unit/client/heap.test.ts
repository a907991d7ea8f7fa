import assert from 'node:assert/strict';
import { Heap } from '../../../src/client/heap.js';
import { FlatRam } from './support/flat-ram.js';

describe('the heap of guest memory', () => {
  const ram = new FlatRam(0x1000, 0x1000);

  it('gives zeroed, aligned memory and takes it back whole', () => {
    const heap = new Heap(ram, [{ address: 0x1000, length: 0x1000 }]);
    ram.bytes.fill(0xff);
    const first = heap.allocate(100);
    const second = heap.allocate(100, 256);
    assert.equal(first, 0x1000);
    assert.equal(second, 0x1100);
    assert.ok(ram.view(second, 100).every((byte) => byte === 0));
    heap.release(first);
    heap.release(second);
    assert.equal(heap.available, 0x1000);
    assert.equal(heap.allocate(0x1000), 0x1000);
  });

  it('says when it is used up, and refuses what it never gave', () => {
    const heap = new Heap(ram, [{ address: 0x1000, length: 0x1000 }]);
    assert.throws(() => heap.allocate(0x1001), /used up/);
    assert.throws(() => heap.release(0x1000), /not allocated/);
    const address = heap.allocate(1);
    heap.release(address);
    assert.throws(() => heap.release(address), /not allocated/);
  });

  it('takes turns between ranges and falls back to the one with room', () => {
    const heap = new Heap(ram, [
      { address: 0x1000, length: 0x800 },
      { address: 0x1800, length: 0x800 },
    ]);
    assert.equal(heap.allocate(0x400), 0x1000);
    assert.equal(heap.allocate(0x800), 0x1800);
    assert.equal(heap.allocate(0x400), 0x1400);
  });

  it('lays the structs of a block out one after the other, aligned', () => {
    const heap = new Heap(ram, [{ address: 0x1000, length: 0x1000 }]);
    const block = heap.block(16, 0, 65, 8);
    assert.deepEqual(block.pieces, [
      { address: 0x1000, length: 16 },
      { address: 0x1040, length: 0 },
      { address: 0x1040, length: 65 },
      { address: 0x10c0, length: 8 },
    ]);
    block.bytes(2).set([1, 2, 3]);
    assert.deepEqual([...ram.view(0x1040, 3)], [1, 2, 3]);
    block.release();
    assert.equal(heap.available, 0x1000);
  });
});
