import type { Features } from './protocol.js';

/** A request that is understood and not carried out: its acknowledgement is not zero, and the connection goes on. */
export class Refusal extends Error {
  readonly code = 'ERR_VHOST_REFUSED';
}

/** `kind`: which feature bits they are. Throws Refusal. */
export function refuseUnoffered(kind: string, bits: Features, offered: Features): void {
  const unknown = bits & ~offered;
  if (unknown !== 0n) throw new Refusal(`${kind} features 0x${unknown.toString(16)} were not offered`);
}
