/** The driver's side of a ring. It tracks every chain: each comes back once, in time, with a plausible length. */
import { GuestMemory } from '../../src/virtio/guest-memory.js';
import { Queue, type Rings } from '../../src/virtio/queue.js';
import { Ram } from '../device/support/ram.js';
import { descriptor } from '../device/support/ring.js';
import { anotherDescriptor } from '../unit/virtio/driver.js';
import type { Random } from './random.js';

/** The answer to every chain comes within 4 s. A busy machine may look at it later. */
const ANSWER_MS = 4000;
const LATE_LOOK_MS = 1000;
/** Value of every byte of writable memory before the device writes. */
const UNTOUCHED = 0xa5;

export interface Piece {
  readonly address: number | bigint;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

export interface Offered {
  readonly head: number;
  /** Where the device may write, in order. null: unknown, because the chain changes meanwhile. */
  readonly writable: readonly { readonly at: number; readonly length: number }[] | null;
  /** Called with the bytes that the device wrote. */
  readonly answered?: (bytes: Buffer) => void;
  readonly since: number;
}

/** Guest memory of one device. */
export class GuestSide {
  readonly ram = new Ram();
  readonly memory = new GuestMemory();

  constructor() {
    for (const { guest, length, user, file } of this.ram.regions)
      this.memory.add(
        { guestAddress: guest, size: length, userAddress: user, fileOffset: file },
        anotherDescriptor(this.ram.fd),
      );
  }

  close(): void {
    this.memory.close();
    this.ram.close();
  }
}

export class GuestRing {
  readonly #places: { readonly descriptors: number; readonly available: number; readonly used: number };
  readonly #outstanding: Offered[] = [];
  #available = 0;
  #used = 0;
  queue!: Queue;
  #isNew = true;
  broken: string | null = null;

  /** Takes 0x8000 bytes of guest memory from `base`, for at most 1024 descriptors. */
  constructor(
    private readonly guest: GuestSide,
    readonly size: number,
    base: number,
    private readonly eventIdx: boolean,
  ) {
    this.#places = { descriptors: base, available: base + 0x4000, used: base + 0x5000 };
  }

  /** A driver that starts: an empty ring, both indices at `start`. */
  reset(start = 0): void {
    const { ram } = this.guest;
    ram.bytes.fill(0, ram.at(this.#places.descriptors), ram.at(this.#places.descriptors) + 0x8000);
    this.#outstanding.length = 0;
    this.broken = null;
    this.#isNew = true;
    this.#available = start;
    this.#used = start;
    this.#write16(this.#places.available + 2, start);
    this.#write16(this.#places.used + 2, start);
  }

  /** A new device's side of the ring. It begins where the last one stopped; after reset() at the driver's index. */
  start(): Queue {
    const base = this.#isNew ? this.#used : this.queue.nextAvailable;
    this.#isNew = false;
    this.close();
    this.queue = new Queue({
      memory: this.guest.memory,
      size: this.size,
      rings: this.views,
      base,
      eventIdx: this.eventIdx,
      indirect: true,
      notify: () => undefined,
      onBroken: (why) => {
        this.broken = why;
      },
    });
    return this.queue;
  }

  /** The device's side ends. A ring that has not stopped keeps its memory. */
  close(): void {
    this.queue?.stop();
  }

  /** The three parts of the ring as the device sees them. */
  get views(): Rings {
    const { memory, ram } = this.guest;
    const view = (place: number, length: number) => memory.ring(ram.user(place), length)!;
    return {
      descriptors: view(this.#places.descriptors, 16 * this.size),
      available: view(this.#places.available, 6 + 2 * this.size),
      used: view(this.#places.used, 6 + 8 * this.size),
    };
  }

  get outstanding(): number {
    return this.#outstanding.length;
  }

  describe(index: number, { address, length, flags, next }: Piece): void {
    const at = this.#places.descriptors + 16 * (index % this.size);
    this.guest.ram.write(at, descriptor({ address, length, flags }, next));
  }

  /** Guest address of the descriptor table. */
  get table(): number {
    return this.#places.descriptors;
  }

  /** Makes a chain available. Its writable memory is filled first, so that every byte that the device writes shows. */
  offer(offered: Omit<Offered, 'since'>): void {
    const { ram } = this.guest;
    for (const { at, length } of offered.writable ?? []) {
      const from = ram.at(at);
      ram.bytes.fill(UNTOUCHED, from, from + length);
    }
    this.#write16(this.#places.available + 4 + 2 * (this.#available % this.size), offered.head);
    this.#available = (this.#available + 1) & 0xffff;
    this.#outstanding.push({ ...offered, since: performance.now() });
    this.publish(this.#available);
  }

  /** Writes this number as the next available index. */
  publish(index: number): void {
    this.#write16(this.#places.available + 2, index);
  }

  /** Changes flags, the event index, and entries that are not available. A driver may write them at any time. */
  disturb(random: Random): void {
    this.#write16(this.#places.available, random.edge());
    this.#write16(this.#places.available + 4 + 2 * this.size, random.edge());
    const later = this.#available + random.below(this.size);
    if (((later - this.queue.nextAvailable) & 0xffff) >= this.size) return;
    this.#write16(this.#places.available + 4 + 2 * (later % this.size), random.edge());
  }

  /** Takes what has come back. Throws if it is not one of the chains that are under way. */
  poll(): void {
    const { ram } = this.guest;
    const now = ram.bytes.readUInt16LE(ram.at(this.#places.used + 2));
    for (; this.#used !== now; this.#used = (this.#used + 1) & 0xffff) {
      const at = ram.at(this.#places.used + 4 + 8 * (this.#used % this.size));
      this.#returned(ram.bytes.readUInt32LE(at), ram.bytes.readUInt32LE(at + 4));
    }
  }

  /** Throws if a chain should have come back before now. */
  checkOverdue(): void {
    const [oldest] = this.#outstanding;
    if (!oldest || this.broken) return;
    const age = performance.now() - oldest.since;
    if (age > ANSWER_MS + LATE_LOOK_MS)
      throw new Error(`chain ${oldest.head} is out for ${Math.round(age)} ms`);
  }

  #returned(head: number, length: number): void {
    const at = this.#outstanding.findIndex((each) => each.head === head);
    if (at < 0) throw new Error(`chain ${head} came back and was not out`);
    const [offered] = this.#outstanding.splice(at, 1);
    if (!offered!.writable) return;
    const room = offered!.writable.reduce((sum, piece) => sum + piece.length, 0);
    if (length > room) throw new Error(`chain ${head}: ${length} bytes written in a chain of ${room}`);
    const bytes = Buffer.concat(
      offered!.writable.map((piece) => this.guest.ram.read(piece.at, piece.length)),
    );
    for (let each = length; each < room; each++)
      if (bytes[each] !== UNTOUCHED)
        throw new Error(`chain ${head}: byte ${each} was written, ${length} told`);
    offered!.answered?.(bytes.subarray(0, length));
  }

  #write16(guest: number, value: number): void {
    const { ram } = this.guest;
    ram.bytes.writeUInt16LE(value & 0xffff, ram.at(guest));
  }
}
