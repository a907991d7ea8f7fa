/** One descriptor chain: what the driver lets the device read, copied, and where the device may write. */
import { type GuestMemory, GuestMemoryError } from './guest-memory.js';
import { Descriptor, DescriptorFlags, MAX_QUEUE_SIZE } from './ring.js';

/** Bytes of a chain's device-readable part. Above: malformed. */
export const MAX_READABLE = 1024 * 1024;
/** Entries of an indirect table. VIRTIO 1.4, 2.7.5.3.1 says the queue size; Linux and others go beyond it. */
export const MAX_INDIRECT = MAX_QUEUE_SIZE;
/** VIRTIO 1.4, 2.7.5.2: a chain is at most 2^32 bytes long in total. */
export const MAX_CHAIN_BYTES = 2 ** 32;

/** The driver made a chain that VIRTIO forbids. It comes back with length 0. */
export class ChainError extends Error {
  readonly code = 'ERR_CHAIN';
}

/** Device-writable memory: guest address and bytes. */
interface Writable {
  readonly address: number;
  readonly length: number;
}

export class Chain {
  readonly writableLength: number;
  readonly #memory: GuestMemory;
  readonly #writable: readonly Writable[];

  constructor(
    memory: GuestMemory,
    /** Index of the first descriptor: what the used ring names the chain by. */
    readonly head: number,
    /** The whole device-readable part, copied when the chain was popped. */
    readonly readable: Buffer,
    writable: readonly Writable[],
  ) {
    this.#memory = memory;
    this.#writable = writable;
    this.writableLength = writable.reduce((sum, { length }) => sum + length, 0);
  }

  /**
   * Writes the parts one after the other from the start of the device-writable part, the prefix that fits, and
   * returns the bytes written. Guest memory may have changed since the chain was popped: where it is gone nothing
   * is written and the result is 0. What is not covered stays as the driver left it.
   */
  reply(parts: readonly Uint8Array[]): number {
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    const total = Math.min(bytes.length, this.writableLength);
    const slices = this.#resolve(total);
    if (!slices) return 0;
    let at = 0;
    for (const slice of slices) {
      slice.set(bytes.subarray(at, at + slice.length));
      at += slice.length;
    }
    return at;
  }

  /** The first `total` writable bytes; null when any of them is no longer in guest memory. */
  #resolve(total: number): Uint8Array[] | null {
    const slices: Uint8Array[] = [];
    let left = total;
    try {
      for (const { address, length } of this.#writable) {
        if (left === 0) break;
        const wanted = Math.min(length, left);
        slices.push(...this.#memory.slices(address, wanted));
        left -= wanted;
      }
    } catch (error) {
      if (error instanceof GuestMemoryError) return null;
      throw error;
    }
    return slices;
  }
}

/** Counts descriptors as they are read, those of malformed chains too. */
export interface Meter {
  descriptors: number;
}

/** What the walk of one chain collects. */
class Walk {
  readonly readable: Uint8Array[] = [];
  readonly writable: Writable[] = [];
  #readableBytes = 0;
  #bytes = 0;

  constructor(
    readonly memory: GuestMemory,
    readonly meter: Meter,
  ) {}

  /** One buffer. Zero-length buffers are tolerated and their addresses mean nothing. */
  take(address: number, length: number, write: boolean): void {
    // VIRTIO 1.4, 2.7.4.2: all device-readable buffers come before the device-writable ones.
    if (!write && this.writable.length > 0)
      throw new ChainError('a readable descriptor after a writable one');
    if (length === 0) return;
    this.#bytes += length;
    if (this.#bytes > MAX_CHAIN_BYTES) throw new ChainError('a chain of more than 4 GiB');
    if (!write) this.#readableBytes += length;
    if (this.#readableBytes > MAX_READABLE) throw new ChainError(`more than ${MAX_READABLE} readable bytes`);
    const slices = this.memory.slices(address, length);
    if (write) this.writable.push({ address, length });
    else this.readable.push(...slices);
  }
}

/**
 * Reads the chain that starts at descriptor `head` of a table. Every descriptor is read once, and the readable
 * part is copied before this returns. Throws ChainError.
 */
export function readChain(
  memory: GuestMemory,
  table: Uint8Array,
  head: number,
  indirect: boolean,
  meter: Meter = { descriptors: 0 },
): Chain {
  const walk = new Walk(memory, meter);
  try {
    walkTable(walk, table, head, indirect);
    return new Chain(memory, head, Buffer.concat(walk.readable), walk.writable);
  } catch (error) {
    if (error instanceof GuestMemoryError) throw new ChainError(error.message);
    throw error;
  }
}

/** Follows `next` from `first`. `indirect`: whether a descriptor may point to a table. */
function walkTable(walk: Walk, table: Uint8Array, first: number, indirect: boolean): void {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const entries = table.byteLength / Descriptor.SIZE;
  let index = first;
  // VIRTIO 1.4, 2.7.5: a chain is no longer than its table; one that is has a loop.
  for (let left = entries; left > 0; left--) {
    walk.meter.descriptors++;
    if (index >= entries) throw new ChainError(`descriptor ${index} of ${entries}`);
    const at = index * Descriptor.SIZE;
    const address = addressAt(view, at + Descriptor.ADDRESS);
    const length = view.getUint32(at + Descriptor.LENGTH, true);
    const flags = view.getUint16(at + Descriptor.FLAGS, true);
    const next = view.getUint16(at + Descriptor.NEXT, true);
    if (flags & DescriptorFlags.INDIRECT) {
      walkIndirect(walk, address, length, flags, indirect);
      return;
    }
    walk.take(address, length, (flags & DescriptorFlags.WRITE) !== 0);
    if (!(flags & DescriptorFlags.NEXT)) return;
    index = next;
  }
  throw new ChainError('a loop of descriptors');
}

/** VIRTIO 1.4, 2.7.5.3: the descriptor's buffer is a table of its own; WRITE on it means nothing. */
function walkIndirect(walk: Walk, address: number, length: number, flags: number, allowed: boolean): void {
  if (!allowed) throw new ChainError('an indirect descriptor where none is allowed');
  if (flags & DescriptorFlags.NEXT) throw new ChainError('an indirect descriptor with a next one');
  if (length === 0 || length % Descriptor.SIZE !== 0 || length > MAX_INDIRECT * Descriptor.SIZE)
    throw new ChainError(`an indirect table of ${length} bytes`);
  walkTable(walk, walk.memory.read(address, length), 0, false);
}

/** A 64-bit address as a number; above 2^53 it is not exact and never in guest memory. */
function addressAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}
