/** A bench for each test of a suite, whose chains are one readable descriptor each, and what pops them. */
import assert from 'node:assert/strict';
import type { Chain } from '../../../../src/virtio/chain.js';
import type { Queue } from '../../../../src/virtio/queue.js';
import { Bench, type BenchOptions } from '../bench.js';

/** Adds the hooks of a suite. `set` makes the bench of a test, which may have several, and gives it to `made`. */
export function queueSuite(made: (bench: Bench) => void) {
  let bench: Bench | undefined;
  const set = (options: BenchOptions = {}) => {
    bench?.close();
    bench = new Bench(options);
    made(bench);
    return bench;
  };

  afterEach(() => {
    bench!.close();
    bench = undefined;
  });

  /** Writes descriptor `index`: 4 readable bytes with the value `index`. */
  const describe4 = (index: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(index);
    bench!.ring.describe(index, { address: bench!.put(4 * index, bytes), length: 4 });
  };

  const malformed = (index: number) => bench!.ring.describe(index, { address: 0, length: 1 });
  return { set, describe4, malformed };
}

/** Pops and pushes all chains of describe4. Returns their heads. */
export function popAll(queue: Queue): number[] {
  const heads: number[] = [];
  for (let chain = queue.pop(); chain; chain = queue.pop()) {
    heads.push(chain.head);
    assert.equal(chain.readable.readUInt32LE(0), chain.head);
    queue.push(chain, chain.head + 100);
  }
  queue.notify();
  return heads;
}

/** Pops all chains that wait, in as many turns of the loop as necessary. */
export function popTurnByTurn(queue: Queue): Chain[] {
  const chains: Chain[] = [];
  while (queue.waiting > 0) {
    const chain = queue.pop();
    if (chain) chains.push(chain);
  }
  return chains;
}
