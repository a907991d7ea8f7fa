/** A hostile guest on a hostile VMM: raw chains, raw commands, and events as they arrive. */
import assert from 'node:assert/strict';
import { until } from '../../support/until.js';
import { filled, join, u32, u64 } from './bytes.js';
import { descriptor, INDIRECT, NEXT, type Piece, type Returned, type Ring, WRITE } from './ring.js';
import { Vmm, type VmmOptions } from './vmm.js';

/** Value of every byte of writable memory before the device writes. */
const UNTOUCHED = 0xa5;
/** Memory of the commands. When its end is reached, it is used again from the start. */
const SCRATCH = 0x4002_0000;
const SCRATCH_END = 0x401f_0000;
const EVENT_BUFFERS = 0x4001_0000;
export const EVENT_BYTES = 608;

/** How a command is cut into descriptors. */
export interface Shape {
  /** Lengths of the descriptors. Absent: one descriptor that covers everything. */
  readonly readable?: readonly number[];
  readonly writable?: readonly number[];
  /** Puts the descriptors into an indirect table. */
  readonly indirect?: boolean;
}

export interface Reply {
  /** Number of bytes that the device reports as written. */
  readonly length: number;
  /** The bytes that were written. */
  readonly bytes: Buffer;
  /** -1: the device did not write a whole status. */
  readonly status: number;
  readonly payload: Buffer;
}

export class Guest {
  /** Events as they arrived: exactly the bytes that the device reports as written. */
  readonly events: Buffer[] = [];
  /** Whether event buffers go back to the device as soon as they are read. */
  reposts = true;
  #scratch = SCRATCH;

  private constructor(readonly vmm: Vmm) {}

  /** A guest whose driver runs, with sixteen event buffers posted unless `events` gives another number. */
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

  /** Posts `count` event buffers of `length` bytes, in the slots from 0. */
  postEvents(count: number, length = EVENT_BYTES, flags = WRITE): void {
    for (let slot = 0; slot < count; slot++) {
      this.eventq.describe(slot, { address: eventPlace(slot), length, flags });
      this.eventq.offer(slot);
    }
    this.eventq.kick();
  }

  /** Writes `bytes` to guest memory and returns the address. The memory is used again only after a long time. */
  place(bytes: Uint8Array, alignment = 16): number {
    let address = Math.ceil(this.#scratch / alignment) * alignment;
    if (address + bytes.length > SCRATCH_END) address = SCRATCH;
    this.vmm.ram.write(address, bytes);
    this.#scratch = address + bytes.length;
    return address;
  }

  /** Takes what both rings have given back, and serves the back-end channel. */
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

  /** Makes a head available, kicks, and waits until it comes back. Returns the length that the device reports. */
  async offered(head: number, ms?: number): Promise<number> {
    this.commandq.offer(head);
    this.commandq.kick();
    return this.answered(head, ms);
  }

  /** Waits until a head comes back that was made available before. Returns the length that the device reports. */
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

  /** Writes the chain of a command. Returns its head, and the address of its writable part (`room`). */
  lay(readable: Uint8Array, room: number, shape: Shape = {}): { head: number; room: number } {
    const input = cut(this.place(readable), readable.length, shape.readable, 0);
    const at = this.place(filled(room, UNTOUCHED));
    const pieces = [...input, ...cut(at, room, shape.writable, WRITE)];
    return { head: this.commandq.chain(shape.indirect ? [this.table(pieces)] : pieces), room: at };
  }

  /** Writes an indirect table with these pieces. Returns the descriptor that refers to it. */
  table(pieces: readonly Piece[]): Piece {
    const entries = pieces.map((piece, at) => {
      const last = at === pieces.length - 1;
      return descriptor({ ...piece, flags: (piece.flags ?? 0) | (last ? 0 : NEXT) }, last ? 0 : at + 1);
    });
    return { address: this.place(join(...entries)), length: 16 * pieces.length, flags: INDIRECT };
  }

  /**
   * One command with `room` writable bytes. Checks that nothing was written beyond the length that the device reports.
   */
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

/** Descriptors of the given lengths, and one more for the rest. */
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
