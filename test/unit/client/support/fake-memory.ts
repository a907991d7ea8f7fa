/** The front-end's memory as a FAKE back-end has it mapped. */
import { closeSync } from 'node:fs';
import { native, type Region } from '../../../../src/native.js';

export interface Slot {
  guest: number;
  size: number;
  user: number;
  region: Region;
  offset: number;
}

export class FakeMemory {
  slots: Slot[] = [];
  /** Regions that are not memory any more. A chain of before may still point into them. */
  readonly #retired: Region[] = [];

  /** SET_MEM_TABLE. */
  replace(body: Buffer, descriptors: readonly number[]): void {
    this.#retire(() => true);
    this.slots = descriptors.map((fd, i) => slotOf(fd, body, 8 + 32 * i));
  }

  /** ADD_MEM_REG. */
  add(body: Buffer, fd: number): void {
    this.slots.push(slotOf(fd, body, 8));
  }

  /** REM_MEM_REG. */
  remove(body: Buffer): void {
    const guest = Number(body.readBigUInt64LE(8));
    this.#retire((slot) => slot.guest === guest);
  }

  /** Live bytes at a guest-physical address. */
  guest(address: number, length: number): Buffer {
    return this.#bytes('guest', address, length);
  }

  /** Live bytes at an address of the front-end. */
  user(address: number, length: number): Buffer {
    return this.#bytes('user', address, length);
  }

  close(): void {
    for (const region of [...this.slots.map((slot) => slot.region), ...this.#retired]) region.close();
  }

  #retire(isGone: (slot: Slot) => boolean): void {
    this.#retired.push(...this.slots.filter(isGone).map((slot) => slot.region));
    this.slots = this.slots.filter((slot) => !isGone(slot));
  }

  #bytes(space: 'guest' | 'user', address: number, length: number): Buffer {
    const holds = (slot: Slot) => address >= slot[space] && address + length <= slot[space] + slot.size;
    const slot = this.slots.find(holds);
    if (!slot) throw new Error(`no ${space} memory at ${address}`);
    return Buffer.from(slot.region.windows[0]!, slot.offset + address - slot[space], length);
  }
}

function slotOf(fd: number, body: Buffer, at: number): Slot {
  const [guest, size, user, offset] = [0, 8, 16, 24].map((part) => Number(body.readBigUInt64LE(at + part)));
  const region = new native.Region(fd, 0, offset! + size!);
  closeSync(fd);
  return { guest: guest!, size: size!, user: user!, region, offset: offset! };
}
