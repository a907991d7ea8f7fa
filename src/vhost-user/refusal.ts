import type { Features } from './protocol.js';

/**
 * The back-end understands a request but does not carry it out. The acknowledgement is not zero, and the connection
 * stays.
 */
export class Refusal extends Error {
  readonly code = 'ERR_VHOST_REFUSED';
}

/** Throws Refusal if `bits` has a bit that is not in `offered`. `kind`: name of these bits in the message. */
export function refuseUnoffered(kind: string, bits: Features, offered: Features): void {
  const unknown = bits & ~offered;
  if (unknown !== 0n) throw new Refusal(`${kind} features 0x${unknown.toString(16)} were not offered`);
}
