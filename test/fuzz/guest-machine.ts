/** A guest with both queues of a media device: commands in slots of memory, event buffers, and turns of the loop. */
import type { MediaDevice } from '../../src/media/device.js';
import { addressesIn, addressesOf } from '../device/support/addresses.js';
import { join } from '../device/support/bytes.js';
import { descriptor, INDIRECT, NEXT, WRITE } from '../device/support/ring.js';
import { GuestRing, GuestSide } from './guest-ring.js';
import { GuestWindow } from './guest-window.js';
import type { Random } from './random.js';

/** Value of the reserved word of the fuzzer's SG entries. */
const RESERVED = 0x5a5a_5a5a;
const SANITIZED = process.env.ASAN_OPTIONS !== undefined;
/** AddressSanitizer's allocator on x86-64 Linux. */
const isSanitizerHeap = (address: bigint): boolean => address >> 42n === 0x6000_0000_0000n >> 42n;

export const SHM_SIZE = 16 << 20;
const COMMANDS = { base: 0x4000_0000, size: 512 } as const;
const EVENTS = { base: 0x4000_8000, size: 64 } as const;
/** Guest address of the event buffers, 1 KiB each. */
const EVENT_PLACE = 0x4001_0000;
export const EVENT_BYTES = 608;
/** Slots of the commands: each has descriptors and memory of its own. */
const SLOTS = { base: 0x4002_0000, bytes: 0x6000, count: 64, descriptors: 8 } as const;
const ANSWER_AT = 0x3000;
const TABLE_AT = 0x5800;
export const MOST_READABLE = ANSWER_AT;
export const MOST_WRITABLE = TABLE_AT - ANSWER_AT;
/** Memory that another processor of the guest may write to at any moment: pages, and commands while they are read. */
export const VOLATILE = [
  { start: 0x4020_0000, length: 0x20_0000 },
  ...Array.from({ length: SLOTS.count }, (_, slot) => ({
    start: SLOTS.base + SLOTS.bytes * slot,
    length: ANSWER_AT,
  })),
];
/** Guest memory that contains no ring and no command. */
export const PAGES = [
  { start: 0x4020_0000, length: 0x20_0000 },
  { start: 0x1_0000_0000, length: 0x10_0000 },
] as const;
/** The value that the fake writes where a real host has a pointer. */
const FAKE_POINTERS = {
  start: 0xdead_beef_0000n,
  end: 0xdead_bef0_0000n,
  name: 'a pointer of the fake',
} as const;

export class GuestMachine {
  readonly side = new GuestSide();
  readonly window: GuestWindow;
  readonly commandq: GuestRing;
  readonly eventq: GuestRing;
  readonly #free: number[] = Array.from({ length: SLOTS.count }, (_, slot) => slot);
  readonly #idleEvents: number[] = [];

  constructor(
    readonly random: Random,
    readonly device: MediaDevice,
  ) {
    const eventIdx = random.chance(0.5);
    this.window = new GuestWindow(random, device.sharedMemorySize);
    this.commandq = new GuestRing(this.side, COMMANDS.size, COMMANDS.base, eventIdx);
    this.eventq = new GuestRing(this.side, EVENTS.size, EVENTS.base, eventIdx);
    device.connected(this.side.memory, this.window);
    this.begin();
  }

  /** The driver sets up both rings again. */
  begin(): void {
    for (const ring of [this.commandq, this.eventq]) ring.reset(this.random.pick([0, 0, 0xfff0]));
    this.#free.splice(0, SLOTS.count, ...Array.from({ length: SLOTS.count }, (_, slot) => slot));
    this.#idleEvents.length = 0;
    for (let event = this.random.between(1, 32); event >= 0; event--) this.#postEvent(event);
    this.start();
  }

  start(): void {
    this.device.queueStarted(0, this.commandq.start());
    this.device.queueStarted(1, this.eventq.start());
  }

  /** Every chain that is under way must come back during this call. */
  stop(): void {
    for (const [index, ring] of [this.commandq, this.eventq].entries()) {
      this.device.queueStopped(index);
      ring.queue.notify();
      ring.queue.stop();
      ring.poll();
    }
  }

  get isFull(): boolean {
    return this.#free.length === 0;
  }

  /** Makes a command available, cut into descriptors at random. `answered` gets the bytes that the device wrote. */
  command(request: Uint8Array, room: number, answered?: (bytes: Buffer) => void): void {
    const slot = this.#free.shift()!;
    const place = SLOTS.base + SLOTS.bytes * slot;
    this.side.ram.write(place, request);
    const readable = this.#cut(place, request.length, 0);
    const writable = this.#cut(place + ANSWER_AT, room, WRITE);
    this.#lay(slot, [...readable, ...writable]);
    this.commandq.offer({
      head: SLOTS.descriptors * slot,
      writable: writable.map(({ address, length }) => ({ at: address, length })),
      answered: (bytes) => {
        this.#free.push(slot);
        answered?.(bytes);
      },
    });
    this.device.queueKicked(0);
  }

  /** A chain that VIRTIO forbids. It must come back empty. */
  malformed(): void {
    const slot = this.#free.shift()!;
    const head = SLOTS.descriptors * slot;
    const at = SLOTS.base + SLOTS.bytes * slot;
    const [address, length, flags, next] = this.random.pick([
      [at, 8, NEXT, head],
      [at, 8, NEXT, COMMANDS.size],
      [at, 8, WRITE | NEXT, head],
      [0x5000_0000, 8, 0, 0],
      [at, 0xffff_ffff, 0, 0],
      [at, 16, INDIRECT | NEXT, head],
      [at, 15, INDIRECT, 0],
      [0x5000_0000, 16, INDIRECT, 0],
    ] as const);
    this.commandq.describe(head, { address, length, flags, next });
    this.commandq.offer({ head, writable: [], answered: () => this.#free.push(slot) });
    this.device.queueKicked(0);
  }

  /**
   * Lets the device work for some turns of the loop, then takes what it has given back. Throws if a promise was broken.
   */
  async turns(count: number): Promise<void> {
    for (let left = count; left > 0; left--) await new Promise(setImmediate);
    this.commandq.poll();
    this.eventq.poll();
    this.commandq.checkOverdue();
    if (this.window.faults.length > 0) throw new Error(this.window.faults.join('; '));
    for (const ring of [this.commandq, this.eventq])
      if (ring.broken) throw new Error(`a ring broke: ${ring.broken}`);
    if (this.#idleEvents.length > 0 && this.random.chance(0.9)) this.repost();
  }

  repost(): void {
    for (const event of this.#idleEvents.splice(0)) this.#postEvent(event);
    this.device.queueKicked(1);
  }

  /** Throws if guest memory or SHM region 0 contains an address of this process. */
  scan(): void {
    // Leave out a sanitizer's shadow mapping, which covers the whole address space, and its heap: that is at the same place
    // in each process, and so large that random bytes of a command hit it. Without a sanitizer the heap is looked for too.
    const own = addressesOf('self').filter(
      ({ start, end }) =>
        end < 1n << 63n && end - start < 1n << 36n && !(SANITIZED && isSanitizerHeap(start)),
    );
    const ranges = [...own, FAKE_POINTERS];
    for (const bytes of [this.side.ram.bytes, ...this.window.bytes]) {
      const found = addressesIn(bytes, ranges, RESERVED);
      if (found.length > 0) throw new Error(`addresses in the guest: ${found.slice(0, 5).join('; ')}`);
    }
  }

  close(): void {
    this.window.close();
    for (const ring of [this.commandq, this.eventq]) ring.close();
    this.side.close();
  }

  #postEvent(event: number): void {
    const at = EVENT_PLACE + 1024 * event;
    // A buffer that is too small for its event goes back empty.
    const length = this.random.chance(0.97) ? EVENT_BYTES : this.random.between(1, EVENT_BYTES);
    this.eventq.describe(event, { address: at, length, flags: WRITE, next: 0 });
    this.eventq.offer({
      head: event,
      writable: [{ at, length }],
      answered: () => this.#idleEvents.push(event),
    });
  }

  /** Cuts the memory into one to three pieces; none if `length` is 0. */
  #cut(address: number, length: number, flags: number): { address: number; length: number; flags: number }[] {
    const pieces: { address: number; length: number; flags: number }[] = [];
    for (let at = 0; at < length; ) {
      const isLast: boolean = pieces.length === 2 || this.random.chance(0.6);
      const size: number = isLast ? length - at : this.random.between(1, length - at);
      pieces.push({ address: address + at, length: size, flags });
      at += size;
    }
    return pieces;
  }

  #lay(slot: number, pieces: readonly { address: number; length: number; flags: number }[]): void {
    const first = SLOTS.descriptors * slot;
    const flagsOf = (at: number) => pieces[at]!.flags | (at < pieces.length - 1 ? NEXT : 0);
    if (this.random.chance(0.5)) {
      const entries = pieces.map((piece, at) => descriptor({ ...piece, flags: flagsOf(at) }, at + 1));
      const table = SLOTS.base + SLOTS.bytes * slot + TABLE_AT;
      this.side.ram.write(table, join(...entries));
      this.commandq.describe(first, { address: table, length: 16 * pieces.length, flags: INDIRECT, next: 0 });
      return;
    }
    for (const [at, piece] of pieces.entries())
      this.commandq.describe(first + at, { ...piece, flags: flagsOf(at), next: first + at + 1 });
  }
}
