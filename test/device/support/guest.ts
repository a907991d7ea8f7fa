/** A guest without manners, on a VMM without manners: raw chains, raw commands, and events as they come. */
import assert from 'node:assert/strict';
import { filled, join, u32, u64 } from './bytes.js';
import { descriptor, INDIRECT, NEXT, type Piece, type Returned, type Ring, WRITE } from './ring.js';
import { until } from './until.js';
import { Vmm, type VmmOptions } from './vmm.js';

/** What writable memory holds before the device writes. */
const UNTOUCHED = 0xa5;
/** Where commands lie: from here, for this long, and round again. */
const SCRATCH = 0x4002_0000;
const SCRATCH_END = 0x401f_0000;
const EVENT_BUFFERS = 0x4001_0000;
export const EVENT_BYTES = 608;

/** How a command is cut into descriptors. */
export interface Shape {
  /** Lengths of the descriptors; one that covers everything where they are not given. */
  readonly readable?: readonly number[];
  readonly writable?: readonly number[];
  /** Put the descriptors into an indirect table. */
  readonly indirect?: boolean;
}

export interface Reply {
  /** What the device says that it wrote. */
  readonly length: number;
  /** What it wrote. */
  readonly bytes: Buffer;
  /** -1: not even that. */
  readonly status: number;
  readonly payload: Buffer;
}

export class Guest {
  /** Events as they came: exactly the bytes that the device says it wrote. */
  readonly events: Buffer[] = [];
  /** Event buffers go back as soon as they were read. */
  reposts = true;
  #scratch = SCRATCH;

  private constructor(readonly vmm: Vmm) {}

  /** A guest whose driver runs, with sixteen event buffers posted unless `events` says otherwise. */
  static async boot(socket: string, options: Partial<VmmOptions> & { events?: number } = {}): Promise<Guest> {
    const guest = new Guest(new Vmm(socket, options));
    guest.postEvents(options.events ?? 16);
    try {
      await guest.vmm.start();
    } catch (error) {
      guest.close();
      throw error;
    }
    return guest;
  }

  get commandq(): Ring {
    return this.vmm.rings[0]!;
  }

  get eventq(): Ring {
    return this.vmm.rings[1]!;
  }

  /** Posts that many event buffers of `length` bytes, in the slots from 0. */
  postEvents(count: number, length = EVENT_BYTES, flags = WRITE): void {
    for (let slot = 0; slot < count; slot++) {
      this.eventq.describe(slot, { address: eventPlace(slot), length, flags });
      this.eventq.offer(slot);
    }
    this.eventq.kick();
  }

  /** Memory for `bytes`, which nothing else uses for a good while. */
  place(bytes: Uint8Array, alignment = 16): number {
    let address = Math.ceil(this.#scratch / alignment) * alignment;
    if (address + bytes.length > SCRATCH_END) address = SCRATCH;
    this.vmm.ram.write(address, bytes);
    this.#scratch = address + bytes.length;
    return address;
  }

  /** Looks at both rings and at what the device wants of the VMM. */
  pump(): void {
    this.commandq.poll();
    this.eventq.poll();
    this.vmm.window?.poll();
    if (!this.reposts) return;
    for (const { head, length } of this.eventq.returned.splice(0)) {
      this.events.push(this.vmm.ram.read(eventPlace(head), length));
      this.eventq.offer(head);
      this.eventq.kick();
    }
  }

  async until(condition: () => boolean, what: string, ms?: number): Promise<void> {
    await until(
      () => {
        this.pump();
        return condition();
      },
      what,
      ms,
    );
  }

  /** Makes a head available, kicks, and waits for it: the length that the device reports. */
  async offered(head: number, ms?: number): Promise<number> {
    this.commandq.offer(head);
    this.commandq.kick();
    return this.answered(head, ms);
  }

  /** Waits for a head that was offered before. */
  async answered(head: number, ms?: number): Promise<number> {
    const { returned } = this.commandq;
    let found: Returned | undefined;
    await this.until(
      () => {
        const at = returned.findIndex((each) => each.head === head);
        if (at >= 0) [found] = returned.splice(at, 1);
        return found !== undefined;
      },
      `chain ${head} to come back`,
      ms,
    );
    return found!.length;
  }

  /** Writes the chain of a command; where its writable part lies is told to `room`. */
  lay(readable: Uint8Array, room: number, shape: Shape = {}): { head: number; room: number } {
    const input = cut(this.place(readable), readable.length, shape.readable, 0);
    const at = this.place(filled(room, UNTOUCHED));
    const pieces = [...input, ...cut(at, room, shape.writable, WRITE)];
    return { head: this.commandq.chain(shape.indirect ? [this.table(pieces)] : pieces), room: at };
  }

  /** The descriptor of an indirect table with these pieces. */
  table(pieces: readonly Piece[]): Piece {
    const entries = pieces.map((piece, at) => {
      const last = at === pieces.length - 1;
      return descriptor({ ...piece, flags: (piece.flags ?? 0) | (last ? 0 : NEXT) }, last ? 0 : at + 1);
    });
    return { address: this.place(join(...entries)), length: 16 * pieces.length, flags: INDIRECT };
  }

  /** One command with `room` writable bytes. Nothing may be written beyond what the device reports. */
  async command(readable: Uint8Array, room: number, shape: Shape = {}, ms?: number): Promise<Reply> {
    const laid = this.lay(readable, room, shape);
    return this.reply(laid.room, room, await this.offered(laid.head, ms));
  }

  reply(at: number, room: number, length: number): Reply {
    const whole = this.vmm.ram.read(at, room);
    assert.ok(length <= room, `${length} bytes reported in a chain of ${room}`);
    const rest = filled(room - length, UNTOUCHED);
    assert.ok(whole.subarray(length).equals(rest), 'bytes were written that were not reported');
    const bytes = whole.subarray(0, length);
    return { length, bytes, status: length < 4 ? -1 : bytes.readUInt32LE(0), payload: bytes.subarray(8) };
  }

  async open(): Promise<number> {
    const { status, length, bytes } = await this.command(u32(1, 0), 16);
    assert.deepEqual([status, length], [0, 16]);
    return bytes.readUInt32LE(8);
  }

  async shut(session: number): Promise<void> {
    assert.equal((await this.command(u32(2, 0, session, 0), 0)).length, 0);
  }

  /** An ioctl whose payload goes both ways. */
  ioctl(session: number, nr: number, payload: Uint8Array, shape: Shape = {}): Promise<Reply> {
    return this.command(join(u32(3, 0, session, nr), payload), 8 + payload.length, shape);
  }

  /** An ioctl whose payload only goes to the device. */
  tell(session: number, nr: number, payload: Uint8Array): Promise<Reply> {
    return this.command(join(u32(3, 0, session, nr), payload), 8);
  }

  mmap(session: number, offset: number, ms?: number): Promise<Reply> {
    return this.command(u32(4, 0, session, 1, offset), 24, {}, ms);
  }

  munmap(address: number | bigint): Promise<Reply> {
    return this.command(join(u32(5, 0), u64(address)), 8);
  }

  close(): void {
    this.vmm.close();
  }
}

export function eventPlace(slot: number): number {
  return EVENT_BUFFERS + 1024 * slot;
}

/** Descriptors of the given lengths, and one more for what they leave. */
function cut(address: number, length: number, lengths: readonly number[] = [], flags: number): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const wanted of [...lengths, length]) {
    const piece = Math.min(wanted, length - at);
    if (piece > 0) pieces.push({ address: address + at, length: piece, flags });
    at += piece;
  }
  return pieces;
}
