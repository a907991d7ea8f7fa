/** Reads chains of a bench without a queue. */
import { native } from '../../../../src/native.js';
import { RingFlags } from '../../../../src/native-ring.js';
import { type Chain, MAX_CHAIN_BYTES, MAX_READABLE } from '../../../../src/virtio/chain.js';
import { MAX_INDIRECT, Walk } from '../../../../src/virtio/chain-walk.js';
import { Turn } from '../../../../src/virtio/turn.js';
import type { Bench } from '../bench.js';

/** The walk along the chain with this head. It is the only one of its ring. */
export function walkOf(bench: Bench, head = 0, indirect = true): Walk {
  const { descriptors } = bench.rings;
  const size = descriptors.length / 16;
  const flags = indirect ? RingFlags.INDIRECT : 0;
  const limits = [MAX_READABLE, MAX_INDIRECT, MAX_CHAIN_BYTES] as const;
  const ring = new native.Ring(bench.memory.native, size, flags, ...limits);
  const available = Uint16Array.of(0, 1, head, ...Array(size).fill(0));
  ring.bind(
    descriptors,
    new Uint8Array(available.buffer),
    new Uint8Array(new Uint32Array(2 + 2 * size).buffer),
  );
  ring.start(0, 0);
  return new Walk(ring);
}

/** Reads one chain, in as many turns as necessary. */
export function chainOf(bench: Bench, head = 0, indirect = true): Chain {
  const walking = walkOf(bench, head, indirect);
  for (;;) {
    const chain = walking.advance(new Turn());
    if (chain) return chain;
  }
}
