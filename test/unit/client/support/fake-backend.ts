/** A minimal vhost-user back-end. It uses only Buffer methods, so it shares no code with the client. */
import { closeSync } from 'node:fs';
import { type FdPoller, native, type Region } from '../../../../src/native.js';
import { isFailure, resultOf } from '../../../../src/result.js';

export const VIRTIO_FEATURES = (1n << 28n) | (1n << 29n) | (1n << 30n) | (1n << 32n);
export const PROTOCOL_FEATURES =
  (1n << 0n) | (1n << 3n) | (1n << 5n) | (1n << 9n) | (1n << 10n) | (1n << 15n) | (1n << 22n);

export interface FakeOptions {
  virtioFeatures?: bigint;
  protocolFeatures?: bigint;
  shmSize?: number;
  config?: Buffer;
  /** Request numbers that are never answered. */
  silent?: readonly number[];
  /** Request numbers that are refused. */
  refuse?: readonly number[];
  /** Answers one command of the commandq: readable bytes to writable bytes; undefined: the chain is not returned. */
  device?: (readable: Buffer, backend: FakeBackend) => Promise<Buffer | undefined> | Buffer | undefined;
}

interface Chain {
  head: number;
  readable: Buffer[];
  writable: Buffer[];
}

interface Ring {
  num: number;
  next: number;
  descriptors: number;
  used: number;
  available: number;
  kick: number | undefined;
  call: number | undefined;
  poller: FdPoller | undefined;
  enabled: boolean;
  kicks: number;
}

interface Slot {
  guest: number;
  size: number;
  user: number;
  region: Region;
  offset: number;
}

const REPLY = 5;

export class FakeBackend {
  /** Every request in order: number, NEED_REPLY, number of file descriptors, body. */
  readonly log: { request: number; needReply: boolean; descriptors: number; body: Buffer }[] = [];
  readonly rings: Ring[] = [0, 1].map(() => ({
    num: 0,
    next: 0,
    descriptors: 0,
    used: 0,
    available: 0,
    kick: undefined,
    call: undefined,
    poller: undefined,
    enabled: false,
    kicks: 0,
  }));
  slots: Slot[] = [];
  closed = false;
  readonly #fd: number;
  readonly #options: FakeOptions;
  readonly #poller: FdPoller;
  #channel: { fd: number; poller: FdPoller; acks: ((value: bigint) => void)[] } | undefined;
  #retired: Region[] = [];

  constructor(fd: number, options: FakeOptions = {}) {
    this.#fd = fd;
    this.#options = options;
    this.#poller = new native.FdPoller(fd, () => this.#read());
    this.#poller.watch(1);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#poller.close();
    closeSync(this.#fd);
    this.closeChannel();
    for (const ring of this.rings) {
      ring.poller?.close();
      for (const fd of [ring.kick, ring.call]) if (fd !== undefined) closeSync(fd);
    }
    for (const region of [...this.slots.map((slot) => slot.region), ...this.#retired]) region.close();
  }

  closeChannel(): void {
    this.#channel?.poller.close();
    if (this.#channel) closeSync(this.#channel.fd);
    this.#channel = undefined;
  }

  /** Request numbers of the log, for comparisons. */
  get sequence(): number[] {
    return this.log.map(({ request }) => request);
  }

  /** Sends a request with NEED_REPLY on the back-end channel. Resolves with the acknowledgement. */
  ask(request: number, body: Buffer, descriptors: number[] = []): Promise<bigint> {
    return new Promise((resolve) => {
      this.#channel!.acks.push(resolve);
      this.tell(request, body, descriptors, 8);
    });
  }

  tell(request: number, body: Buffer, descriptors: number[] = [], flags = 0): void {
    const header = Buffer.alloc(12);
    header.writeUInt32LE(request, 0);
    header.writeUInt32LE(1 | flags, 4);
    header.writeUInt32LE(body.length, 8);
    native.send(this.#channel!.fd, Buffer.concat([header, body]), descriptors);
  }

  map(fd: number, offset: number, length: number, fileOffset = 0): Promise<bigint> {
    return this.ask(9, mapBody(fileOffset, offset, length), [fd]);
  }

  unmap(offset: number, length: number): Promise<bigint> {
    return this.ask(10, mapBody(0, offset, length));
  }

  /** Returns the next event buffer with `bytes`. False: the driver has posted none. */
  sendEvent(bytes: Buffer): boolean {
    const chain = this.takeChain(1);
    if (!chain) return false;
    this.finish(1, chain, bytes);
    return true;
  }

  /** How many chains of a ring are available and not taken. */
  waiting(index: number): number {
    const ring = this.rings[index]!;
    return (this.#user(ring.available, 4).readUInt16LE(2) - ring.next) & 0xffff;
  }

  takeChain(index: number): Chain | undefined {
    const ring = this.rings[index]!;
    const available = this.#user(ring.available, 4 + 2 * ring.num);
    if (ring.next === available.readUInt16LE(2)) return undefined;
    const head = available.readUInt16LE(4 + 2 * (ring.next % ring.num));
    ring.next = (ring.next + 1) & 0xffff;
    const chain: Chain = { head, readable: [], writable: [] };
    this.#walk(this.#user(ring.descriptors, 16 * ring.num), head, chain);
    return chain;
  }

  /** Writes `bytes` to the chain's writable part and returns the chain to the driver. */
  finish(index: number, chain: Chain, bytes: Buffer): void {
    let at = 0;
    for (const piece of chain.writable) at += bytes.copy(piece, 0, at, at + piece.length);
    const ring = this.rings[index]!;
    const used = this.#user(ring.used, 4 + 8 * ring.num + 2);
    const n = used.readUInt16LE(2);
    used.writeUInt32LE(chain.head, 4 + 8 * (n % ring.num));
    used.writeUInt32LE(at, 8 + 8 * (n % ring.num));
    used.writeUInt16LE((n + 1) & 0xffff, 2);
    // Asks for a kick for every chain: avail_event follows the available index.
    used.writeUInt16LE(ring.next, 4 + 8 * ring.num);
    if (ring.call !== undefined) native.signal(ring.call);
  }

  #walk(table: Buffer, first: number, chain: Chain): void {
    for (let slot = first; ; ) {
      const at = 16 * slot;
      const address = Number(table.readBigUInt64LE(at));
      const length = table.readUInt32LE(at + 8);
      const flags = table.readUInt16LE(at + 12);
      const bytes = this.guest(address, length);
      if (flags & 4) {
        this.#walk(bytes, 0, chain);
        return;
      }
      (flags & 2 ? chain.writable : chain.readable).push(bytes);
      if (!(flags & 1)) return;
      slot = table.readUInt16LE(at + 14);
    }
  }

  async #serve(): Promise<void> {
    while (!this.closed) {
      const chain = this.takeChain(0);
      if (!chain) return;
      const answer = await this.#options.device?.(Buffer.concat(chain.readable), this);
      if (answer && !this.closed) this.finish(0, chain, answer);
    }
  }

  #kicked(index: number): void {
    const ring = this.rings[index]!;
    native.drain(ring.kick!);
    ring.kicks++;
    if (ring.enabled && index === 0) void this.#serve();
  }

  /** Live bytes at a guest-physical address. */
  guest(address: number, length: number): Buffer {
    const slot = this.slots.find((one) => address >= one.guest && address + length <= one.guest + one.size);
    if (!slot) throw new Error(`no guest memory at ${address}`);
    return Buffer.from(slot.region.windows[0]!, slot.offset + address - slot.guest, length);
  }

  #user(address: number, length: number): Buffer {
    const slot = this.slots.find((one) => address >= one.user && address + length <= one.user + one.size);
    if (!slot) throw new Error(`no front-end memory at ${address}`);
    return Buffer.from(slot.region.windows[0]!, slot.offset + address - slot.user, length);
  }

  #read(): void {
    for (;;) {
      const header = Buffer.alloc(12);
      const received = resultOf(native.receive(this.#fd, header));
      if (isFailure(received)) return;
      if (received.length === 0) return this.close();
      const body = Buffer.alloc(header.readUInt32LE(8));
      if (body.length > 0) native.receive(this.#fd, body);
      const request = header.readUInt32LE(0);
      const needReply = (header.readUInt32LE(4) & 8) !== 0;
      this.log.push({ request, needReply, descriptors: received.descriptors.length, body });
      this.#dispatch(request, needReply, body, received.descriptors);
      if (this.closed) return;
    }
  }

  #dispatch(request: number, needReply: boolean, body: Buffer, descriptors: number[]): void {
    if (this.#options.silent?.includes(request)) return;
    const reply = this.#handle(request, body, descriptors);
    const refused = this.#options.refuse?.includes(request) ? 1n : 0n;
    if (reply) this.#reply(request, reply);
    else if (needReply) this.#reply(request, number64(refused));
  }

  #handle(request: number, body: Buffer, descriptors: number[]): Buffer | undefined {
    const ring = this.rings[body.length >= 4 ? body.readUInt32LE(0) & 1 : 0]!;
    switch (request) {
      case 1:
        return number64(this.#options.virtioFeatures ?? VIRTIO_FEATURES);
      case 15:
        return number64(this.#options.protocolFeatures ?? PROTOCOL_FEATURES);
      case 17:
        return number64(2n);
      case 36:
        return number64(32n);
      case 24: {
        const answer = Buffer.from(body);
        const [offset, size] = [body.readUInt32LE(0), body.readUInt32LE(4)];
        this.#options.config?.copy(answer, 12, offset, offset + size);
        return answer;
      }
      case 44: {
        const answer = Buffer.alloc(2056);
        const size = this.#options.shmSize ?? 1 << 20;
        answer.writeUInt32LE(size > 0 ? 1 : 0, 0);
        answer.writeBigUInt64LE(BigInt(size), 8);
        return answer;
      }
      case 5: {
        this.#retired.push(...this.slots.map((slot) => slot.region));
        this.slots = descriptors.map((fd, i) => slotOf(fd, body, 8 + 32 * i));
        return undefined;
      }
      case 37:
        this.slots.push(slotOf(descriptors[0]!, body, 8));
        return undefined;
      case 38: {
        const guest = Number(body.readBigUInt64LE(8));
        this.#retired.push(...this.slots.filter((slot) => slot.guest === guest).map((slot) => slot.region));
        this.slots = this.slots.filter((slot) => slot.guest !== guest);
        return undefined;
      }
      case 8:
        ring.num = body.readUInt32LE(4);
        return undefined;
      case 9:
        ring.descriptors = Number(body.readBigUInt64LE(8));
        ring.used = Number(body.readBigUInt64LE(16));
        ring.available = Number(body.readBigUInt64LE(24));
        return undefined;
      case 10:
        ring.next = body.readUInt32LE(4);
        return undefined;
      case 11: {
        const answer = Buffer.from(body);
        answer.writeUInt32LE(ring.next, 4);
        return answer;
      }
      case 12:
        this.#setKick(body.readUInt32LE(0), descriptors[0]!);
        return undefined;
      case 13:
        if (ring.call !== undefined) closeSync(ring.call);
        ring.call = descriptors[0];
        return undefined;
      case 18:
        ring.enabled = body.readUInt32LE(4) === 1;
        if (ring.enabled && ring === this.rings[0]) void this.#serve();
        return undefined;
      case 21:
        this.#openChannel(descriptors[0]!);
        return undefined;
      default:
        for (const fd of descriptors) closeSync(fd);
        return undefined;
    }
  }

  #setKick(index: number, fd: number): void {
    const ring = this.rings[index]!;
    ring.poller?.close();
    if (ring.kick !== undefined) closeSync(ring.kick);
    ring.kick = fd;
    ring.poller = new native.FdPoller(fd, () => this.#kicked(index));
    ring.poller.watch(1);
  }

  #openChannel(fd: number): void {
    this.closeChannel();
    const acks: ((value: bigint) => void)[] = [];
    const poller = new native.FdPoller(fd, () => {
      const answer = Buffer.alloc(20);
      const received = resultOf(native.receive(fd, answer));
      if (isFailure(received)) return;
      if (received.length === 0) return this.closeChannel();
      acks.shift()?.(answer.readBigUInt64LE(12));
    });
    poller.watch(1);
    this.#channel = { fd, poller, acks };
  }

  #reply(request: number, body: Buffer): void {
    const header = Buffer.alloc(12);
    header.writeUInt32LE(request, 0);
    header.writeUInt32LE(REPLY, 4);
    header.writeUInt32LE(body.length, 8);
    native.send(this.#fd, Buffer.concat([header, body]), []);
  }
}

function number64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes;
}

function mapBody(fileOffset: number, offset: number, length: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(BigInt(fileOffset), 8);
  body.writeBigUInt64LE(BigInt(offset), 16);
  body.writeBigUInt64LE(BigInt(length), 24);
  body.writeBigUInt64LE(1n, 32);
  return body;
}

function slotOf(fd: number, body: Buffer, at: number): Slot {
  const [guest, size, user, offset] = [0, 8, 16, 24].map((part) => Number(body.readBigUInt64LE(at + part)));
  const region = new native.Region(fd, 0, offset! + size!);
  closeSync(fd);
  return { guest: guest!, size: size!, user: user!, region, offset: offset! };
}

/** A fake back-end, and the descriptor of the other end of its socket, for a front-end. */
export function fakeBackend(options: FakeOptions = {}): { backend: FakeBackend; fd: number } {
  const [ours, theirs] = native.socketPair();
  return { backend: new FakeBackend(ours, options), fd: theirs };
}
