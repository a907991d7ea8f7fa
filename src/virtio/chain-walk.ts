/**
 * The walk along one descriptor chain. It may take several turns of the loop. First every descriptor is read once and
 * checked; then the readable part is copied. So a refused chain costs no copy.
 */
import { Chain, ChainError, MAX_CHAIN_BYTES, MAX_READABLE } from './chain.js';
import { type GuestMemory, GuestMemoryError } from './guest-memory.js';
import { readablePool } from './readable-pool.js';
import { Descriptor, DescriptorFlags, MAX_QUEUE_SIZE } from './ring-layout.js';
import { COPY_STEP, Price, type Turn } from './turn.js';

/** The most entries of an indirect table. VIRTIO 1.4, 2.7.5.3.1 allows the queue size; Linux and others use more. */
export const MAX_INDIRECT = MAX_QUEUE_SIZE;

/**
 * Gets the first HEAD_BYTES bytes of a readable part and returns how many bytes of the part its reader needs. The
 * others are not copied.
 */
export type Useful = (head: Buffer) => number;
const HEAD_BYTES = 16;
/** Up to this many bytes it is faster to copy a readable part whole than to ask `useful`. */
const FEW_BYTES = 4096;

/** A copy of one entry of an indirect table. Only entries of the chain are read from the table. */
const ENTRY = new Uint8Array(Descriptor.SIZE);
const ENTRY_VIEW = new DataView(ENTRY.buffer);

export class Walk {
  readonly #memory: GuestMemory;
  readonly #table: DataView;
  /** Guest address of the indirect table that is walked. null: the walk is in the ring's own table. */
  #indirect: number | null = null;
  #entries: number;
  #index: number;
  /** Descriptors that may still come. VIRTIO 1.4, 2.7.5: a chain that is longer than its table has a loop. */
  #left: number;
  /** Guest address and length in bytes of each piece, alternating. */
  readonly #readable: number[] = [];
  readonly #writable: number[] = [];
  #readableBytes = 0;
  #bytes = 0;
  #isRead = false;
  #isJudged = false;
  #copied: Buffer | null = null;
  #filled = 0;
  #piece = 0;
  #inside = 0;

  /** `table`: the ring's descriptors. `mayPoint`: whether a descriptor may point to an indirect table. */
  constructor(
    memory: GuestMemory,
    table: DataView,
    readonly head: number,
    private readonly mayPoint: boolean,
  ) {
    this.#memory = memory;
    this.#table = table;
    this.#entries = this.#left = table.byteLength / Descriptor.SIZE;
    this.#index = head;
  }

  /** Continues the walk. Returns the chain when it is complete; null: the turn is used up. Throws ChainError. */
  advance(turn: Turn, useful: Useful = () => MAX_READABLE): Chain | null {
    try {
      while (!this.#isRead) {
        if (turn.over) return null;
        turn.spend(Price.DESCRIPTOR);
        this.#isRead = !this.#step();
      }
      if (!this.#copy(turn, useful)) return null;
    } catch (error) {
      if (error instanceof GuestMemoryError) throw new ChainError(error.message);
      throw error;
    }
    const writableLength = this.#bytes - this.#readableBytes;
    return new Chain(this.#memory, turn, this.head, this.#copied!, this.#writable, writableLength);
  }

  /** Reads one descriptor. Returns false if it was the last one. */
  #step(): boolean {
    if (this.#left-- === 0) throw new ChainError('a loop of descriptors');
    if (this.#index >= this.#entries) throw new ChainError(`descriptor ${this.#index} of ${this.#entries}`);
    let at = this.#index * Descriptor.SIZE;
    let view = this.#table;
    if (this.#indirect !== null) {
      this.#memory.copyOut(this.#indirect + at, ENTRY, 0, Descriptor.SIZE);
      at = 0;
      view = ENTRY_VIEW;
    }
    const address = addressAt(view, at + Descriptor.ADDRESS);
    const length = view.getUint32(at + Descriptor.LENGTH, true);
    const flags = view.getUint16(at + Descriptor.FLAGS, true);
    this.#index = view.getUint16(at + Descriptor.NEXT, true);
    if (flags & DescriptorFlags.INDIRECT) return this.#enter(address, length, flags);
    this.#take(address, length, (flags & DescriptorFlags.WRITE) !== 0);
    return (flags & DescriptorFlags.NEXT) !== 0;
  }

  /**
   * VIRTIO 1.4, 2.7.5.3: the descriptor's buffer is a table of descriptors. WRITE on this descriptor has no meaning.
   */
  #enter(address: number, length: number, flags: number): true {
    if (!this.mayPoint || this.#indirect !== null)
      throw new ChainError('an indirect descriptor where none is allowed');
    if (flags & DescriptorFlags.NEXT) throw new ChainError('an indirect descriptor with a next one');
    if (length === 0 || length % Descriptor.SIZE !== 0 || length > MAX_INDIRECT * Descriptor.SIZE)
      throw new ChainError(`an indirect table of ${length} bytes`);
    this.#memory.check(address, length);
    this.#indirect = address;
    this.#entries = this.#left = length / Descriptor.SIZE;
    this.#index = 0;
    return true;
  }

  /** Adds one buffer. A buffer of length 0 is tolerated, and its address has no meaning. */
  #take(address: number, length: number, write: boolean): void {
    // VIRTIO 1.4, 2.7.4.2: all device-readable buffers come before the device-writable ones.
    if (!write && this.#writable.length > 0)
      throw new ChainError('a readable descriptor after a writable one');
    if (length === 0) return;
    this.#bytes += length;
    if (this.#bytes > MAX_CHAIN_BYTES) throw new ChainError('a chain of more than 4 GiB');
    if (!write) this.#readableBytes += length;
    if (this.#readableBytes > MAX_READABLE) throw new ChainError(`more than ${MAX_READABLE} readable bytes`);
    this.#memory.check(address, length);
    if (write) this.#writable.push(address, length);
    else this.#readable.push(address, length);
  }

  /** Copies the bytes of the readable part that are needed, each once. Returns false if the turn is used up. */
  #copy(turn: Turn, useful: Useful): boolean {
    const total = this.#readableBytes;
    this.#isJudged ||= total <= FEW_BYTES;
    this.#copied ??= Buffer.allocUnsafe(this.#isJudged ? total : HEAD_BYTES);
    if (!this.#fill(turn, this.#copied)) return false;
    if (this.#isJudged) return true;
    this.#isJudged = true;
    const head = this.#copied;
    this.#copied = readablePool.take(Math.min(total, Math.max(HEAD_BYTES, useful(head))));
    this.#copied.set(head);
    return this.#fill(turn, this.#copied);
  }

  #fill(turn: Turn, into: Buffer): boolean {
    while (this.#filled < into.length) {
      if (turn.over) return false;
      const address = this.#readable[this.#piece]!;
      const left = this.#readable[this.#piece + 1]! - this.#inside;
      const bytes = Math.min(left, COPY_STEP, into.length - this.#filled);
      // Charged twice, because the pages of the copy are new too.
      turn.spendPiece(2 * bytes);
      this.#memory.copyOut(address + this.#inside, into, this.#filled, bytes);
      this.#filled += bytes;
      this.#inside = bytes < left ? this.#inside + bytes : 0;
      if (bytes === left) this.#piece += 2;
    }
    return true;
  }
}

/** A 64-bit address as a number. Above 2^53 it is not exact, and never in guest memory. */
function addressAt(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x1_0000_0000 + view.getUint32(at, true);
}
