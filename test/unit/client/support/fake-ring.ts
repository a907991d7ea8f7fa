/** A ring as a FAKE back-end sees it. */
import { closeSync } from 'node:fs';
import { type FdPoller, native } from '../../../../src/native.js';
import type { FakeMemory } from './fake-memory.js';

export interface Chain {
  head: number;
  readable: Buffer[];
  writable: Buffer[];
}

export class FakeRing {
  num = 0;
  /** Available index of the chain that is taken next. */
  next = 0;
  enabled = false;
  kicks = 0;
  readonly #memory: FakeMemory;
  readonly #kicked: () => void;
  #places = { descriptors: 0, used: 0, available: 0 };
  #kick: { fd: number; poller: FdPoller } | undefined;
  #call: number | undefined;

  constructor(memory: FakeMemory, kicked: () => void) {
    this.#memory = memory;
    this.#kicked = kicked;
  }

  /** SET_VRING_ADDR. */
  place(body: Buffer): void {
    const [descriptors, used, available] = [8, 16, 24].map((at) => Number(body.readBigUInt64LE(at)));
    this.#places = { descriptors: descriptors!, used: used!, available: available! };
  }

  /** SET_VRING_KICK. */
  setKick(fd: number): void {
    this.#closeKick();
    const poller = new native.FdPoller(fd, () => {
      native.drain(fd);
      this.kicks++;
      this.#kicked();
    });
    poller.watch(1);
    this.#kick = { fd, poller };
  }

  /** SET_VRING_CALL. */
  setCall(fd: number | undefined): void {
    if (this.#call !== undefined) closeSync(this.#call);
    this.#call = fd;
  }

  /** How many chains are available and not taken. */
  get waiting(): number {
    return (this.#memory.user(this.#places.available, 4).readUInt16LE(2) - this.next) & 0xffff;
  }

  take(): Chain | undefined {
    if (this.waiting === 0) return undefined;
    const available = this.#memory.user(this.#places.available, 4 + 2 * this.num);
    const head = available.readUInt16LE(4 + 2 * (this.next % this.num));
    this.next = (this.next + 1) & 0xffff;
    const chain: Chain = { head, readable: [], writable: [] };
    this.#walk(this.#memory.user(this.#places.descriptors, 16 * this.num), head, chain);
    return chain;
  }

  /** Writes `bytes` to the chain's writable part and returns the chain to the driver. */
  finish(chain: Chain, bytes: Buffer): void {
    let at = 0;
    for (const piece of chain.writable) at += bytes.copy(piece, 0, at, at + piece.length);
    const used = this.#memory.user(this.#places.used, 4 + 8 * this.num + 2);
    const n = used.readUInt16LE(2);
    used.writeUInt32LE(chain.head, 4 + 8 * (n % this.num));
    used.writeUInt32LE(at, 8 + 8 * (n % this.num));
    used.writeUInt16LE((n + 1) & 0xffff, 2);
    // Asks for a kick for every chain: avail_event follows the available index.
    used.writeUInt16LE(this.next, 4 + 8 * this.num);
    if (this.#call !== undefined) native.signal(this.#call);
  }

  close(): void {
    this.#closeKick();
    this.setCall(undefined);
  }

  #closeKick(): void {
    this.#kick?.poller.close();
    if (this.#kick) closeSync(this.#kick.fd);
    this.#kick = undefined;
  }

  #walk(table: Buffer, first: number, chain: Chain): void {
    for (let slot = first; ; ) {
      const at = 16 * slot;
      const address = Number(table.readBigUInt64LE(at));
      const length = table.readUInt32LE(at + 8);
      const flags = table.readUInt16LE(at + 12);
      const bytes = this.#memory.guest(address, length);
      if (flags & 4) {
        this.#walk(bytes, 0, chain);
        return;
      }
      (flags & 2 ? chain.writable : chain.readable).push(bytes);
      if (!(flags & 1)) return;
      slot = table.readUInt16LE(at + 14);
    }
  }
}
