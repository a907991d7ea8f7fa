/** A minimal vhost-user back-end, a FAKE. It uses only Buffer methods, so it shares no code with the client. */
import { closeSync } from 'node:fs';
import { type FdPoller, native } from '../../../../src/native.js';
import { isFailure, resultOf } from '../../../../src/result.js';
import { Ask } from '../../../support/front-end-messages.js';
import { FakeMemory, type Slot } from './fake-memory.js';
import { type Chain, FakeRing } from './fake-ring.js';

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

const REPLY = 5;

export class FakeBackend {
  /** Every request in order: number, NEED_REPLY, number of file descriptors, body. */
  readonly log: { request: number; needReply: boolean; descriptors: number; body: Buffer }[] = [];
  readonly memory = new FakeMemory();
  readonly rings = [
    new FakeRing(this.memory, () => this.#serve()),
    // Nothing is done at a kick of the eventq: the test sends the events.
    new FakeRing(this.memory, () => undefined),
  ];
  closed = false;
  readonly #fd: number;
  readonly #options: FakeOptions;
  readonly #poller: FdPoller;
  #channel: { fd: number; poller: FdPoller; acks: ((value: bigint) => void)[] } | undefined;

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
    for (const ring of this.rings) ring.close();
    this.memory.close();
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
    return this.rings[index]!.waiting;
  }

  takeChain(index: number): Chain | undefined {
    return this.rings[index]!.take();
  }

  /** Writes `bytes` to the chain's writable part and returns the chain to the driver. */
  finish(index: number, chain: Chain, bytes: Buffer): void {
    this.rings[index]!.finish(chain, bytes);
  }

  get slots(): readonly Slot[] {
    return this.memory.slots;
  }

  /** Live bytes at a guest-physical address. */
  guest(address: number, length: number): Buffer {
    return this.memory.guest(address, length);
  }

  async #serve(): Promise<void> {
    while (!this.closed && this.rings[0]!.enabled) {
      const chain = this.takeChain(0);
      if (!chain) return;
      const answer = await this.#options.device?.(Buffer.concat(chain.readable), this);
      if (answer && !this.closed) this.finish(0, chain, answer);
    }
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
    const ring = this.rings[body.length >= 4 ? body.readUInt32LE(0) & 1 : 0]!;
    const reply = this.#replies[request]?.(body, ring);
    const carryOut = this.#settings[request];
    if (carryOut) carryOut(body, descriptors, ring);
    else for (const fd of descriptors) closeSync(fd);
    const refused = this.#options.refuse?.includes(request) ? 1n : 0n;
    if (reply) this.#reply(request, reply);
    else if (needReply) this.#reply(request, number64(refused));
  }

  /** Requests that have a reply. */
  readonly #replies: Readonly<Record<number, (body: Buffer, ring: FakeRing) => Buffer>> = {
    [Ask.GET_FEATURES]: () => number64(this.#options.virtioFeatures ?? VIRTIO_FEATURES),
    [Ask.GET_PROTOCOL_FEATURES]: () => number64(this.#options.protocolFeatures ?? PROTOCOL_FEATURES),
    [Ask.GET_QUEUE_NUM]: () => number64(2n),
    [Ask.GET_MAX_MEM_SLOTS]: () => number64(32n),
    [Ask.GET_CONFIG]: (body) => {
      const answer = Buffer.from(body);
      const [offset, size] = [body.readUInt32LE(0), body.readUInt32LE(4)];
      this.#options.config?.copy(answer, 12, offset, offset + size);
      return answer;
    },
    [Ask.GET_SHMEM_CONFIG]: () => {
      const answer = Buffer.alloc(2056);
      const size = this.#options.shmSize ?? 1 << 20;
      answer.writeUInt32LE(size > 0 ? 1 : 0, 0);
      answer.writeBigUInt64LE(BigInt(size), 8);
      return answer;
    },
    [Ask.GET_VRING_BASE]: (body, ring) => {
      const answer = Buffer.from(body);
      answer.writeUInt32LE(ring.next, 4);
      return answer;
    },
  };

  /** Requests that have none. */
  readonly #settings: Readonly<
    Record<number, (body: Buffer, descriptors: readonly number[], ring: FakeRing) => void>
  > = {
    [Ask.SET_MEM_TABLE]: (body, descriptors) => this.memory.replace(body, descriptors),
    [Ask.ADD_MEM_REG]: (body, [fd]) => this.memory.add(body, fd!),
    [Ask.REM_MEM_REG]: (body) => this.memory.remove(body),
    [Ask.SET_VRING_NUM]: (body, _, ring) => {
      ring.num = body.readUInt32LE(4);
    },
    [Ask.SET_VRING_ADDR]: (body, _, ring) => ring.place(body),
    [Ask.SET_VRING_BASE]: (body, _, ring) => {
      ring.next = body.readUInt32LE(4);
    },
    [Ask.SET_VRING_KICK]: (_, [fd], ring) => ring.setKick(fd!),
    [Ask.SET_VRING_CALL]: (_, [fd], ring) => ring.setCall(fd),
    [Ask.SET_VRING_ENABLE]: (body, _, ring) => {
      ring.enabled = body.readUInt32LE(4) === 1;
      if (ring === this.rings[0]) void this.#serve();
    },
    [Ask.SET_BACKEND_REQ_FD]: (_, [fd]) => this.#openChannel(fd!),
  };

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

/** A fake back-end, and the descriptor of the other end of its socket, for a front-end. */
export function fakeBackend(options: FakeOptions = {}): { backend: FakeBackend; fd: number } {
  const [ours, theirs] = native.socketPair();
  return { backend: new FakeBackend(ours, options), fd: theirs };
}
