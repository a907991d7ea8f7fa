/** Reads chains of a bench without a queue. */
import type { Chain } from '../../../../src/virtio/chain.js';
import { Walk } from '../../../../src/virtio/chain-walk.js';
import { Turn } from '../../../../src/virtio/turn.js';
import type { Bench } from '../bench.js';

export function walkOf(bench: Bench, head = 0, indirect = true): Walk {
  const { buffer, byteOffset, byteLength } = bench.rings.descriptors;
  return new Walk(bench.memory, new DataView(buffer, byteOffset, byteLength), head, indirect);
}

/** Reads one chain, in as many turns as necessary. */
export function chainOf(bench: Bench, head = 0, indirect = true): Chain {
  const walking = walkOf(bench, head, indirect);
  for (;;) {
    const chain = walking.advance(new Turn());
    if (chain) return chain;
  }
}
