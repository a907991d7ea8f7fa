/** Guest memory in one ordinary buffer. It needs no addon and no device. */
import type { GuestRam } from '../../../../src/client/pieces.js';

export class FlatRam implements GuestRam {
  readonly bytes: Buffer;
  readonly base: number;

  constructor(base: number, size: number) {
    this.base = base;
    // A new ArrayBuffer, not Node's pool, because the rings need their alignment.
    this.bytes = Buffer.from(new ArrayBuffer(size));
  }

  view(address: number, length: number): Uint8Array {
    const at = address - this.base;
    if (at < 0 || at + length > this.bytes.length) throw new RangeError(`no RAM at ${address}`);
    return this.bytes.subarray(at, at + length);
  }
}
