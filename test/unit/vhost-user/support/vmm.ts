/**
 * The front-end's side of a vhost-user socket, for the tests. Bytes and descriptors are written by hand after the
 * vhost-user document, and no code is shared with src/vhost-user.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { log } from '../../../../src/log.js';
import { native } from '../../../../src/native.js';
import { failure, isFailure, resultOf } from '../../../../src/result.js';
import { Ask } from '../../../support/front-end-messages.js';
import { until } from '../../../support/until.js';

const NOTHING_WAITS = failure(11);

/** Flags of a header: version 1; version 1 with "need reply"; a reply. */
export const PLAIN = 0x1;
export const NEED_REPLY = 0x9;
export const REPLY = 0x5;

export const u64 = (value: number | bigint): Buffer => {
  const raw = Buffer.alloc(8);
  raw.writeBigUInt64LE(BigInt(value));
  return raw;
};

/** A UUID with this last byte. */
export const uuid = (last: number): Uint8Array =>
  Uint8Array.from({ length: 16 }, (_, index) => (index === 15 ? last : 0xa0 + index));

/** "A vring state description": index, num. */
export const state = (index: number, num: number): Buffer => {
  const raw = Buffer.alloc(8);
  raw.writeUInt32LE(index, 0);
  raw.writeUInt32LE(num, 4);
  return raw;
};

/** "A vring address description": index, flags, descriptor, used, available, log. */
export const vringAddress = (index: number, descriptors: number, used: number, available: number): Buffer =>
  Buffer.concat([state(index, 0), u64(descriptors), u64(used), u64(available), u64(0)]);

/** "A memory region description": guest address, size, user address, mmap offset. */
export const region = (guest: number, size: number, user: number, offset: number): Buffer =>
  Buffer.concat([u64(guest), u64(size), u64(user), u64(offset)]);

export const memoryTable = (...regions: Buffer[]): Buffer =>
  Buffer.concat([state(regions.length, 0), ...regions]);

/** "A single memory region description": padding, region. */
export const singleRegion = (body: Buffer): Buffer => Buffer.concat([u64(0), body]);

/** "A virtio device configuration space description": offset, size, flags, payload. */
export const config = (offset: number, size: number, flags = 0): Buffer => {
  const raw = Buffer.alloc(12 + size);
  raw.writeUInt32LE(offset, 0);
  raw.writeUInt32LE(size, 4);
  raw.writeUInt32LE(flags, 8);
  return raw;
};

export const message = (request: number, flags: number, body: Uint8Array): Buffer => {
  const head = Buffer.alloc(12);
  head.writeUInt32LE(request, 0);
  head.writeUInt32LE(flags, 4);
  head.writeUInt32LE(body.length, 8);
  return Buffer.concat([head, body]);
};

export { openDescriptors } from '../../../addon/support/process.js';

/** Silences the log within a `describe` whose tests provoke warnings. */
export function withoutLog(): void {
  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
}

export interface Heard {
  request: number;
  flags: number;
  body: Buffer;
  descriptors: number[];
}

/** One end of a stream of messages. Everything is sent at once, and each message is read separately. */
export class Wire {
  readonly #inbox: Heard[] = [];
  /** Bytes of the message that is being read: its header, then its body. */
  #partial = Buffer.alloc(0);
  #descriptors: number[] = [];
  #closed = false;

  constructor(readonly fd: number) {}

  send(request: number, flags: number, body: Uint8Array = Buffer.alloc(0), descriptors: number[] = []): void {
    this.raw(message(request, flags, body), descriptors);
  }

  raw(bytes: Uint8Array, descriptors: number[] = []): void {
    assert.equal(native.send(this.fd, bytes, descriptors), bytes.length);
  }

  /** Whether the peer has closed. */
  get ended(): boolean {
    this.#read();
    return this.#closed;
  }

  /** The next message that has arrived, or undefined. */
  poll(): Heard | undefined {
    this.#read();
    return this.#inbox.shift();
  }

  async next(): Promise<Heard> {
    let heard: Heard | undefined;
    await until(() => {
      heard = this.poll();
      return heard !== undefined || this.#closed;
    }, 'a message');
    assert.ok(heard, 'the peer closed');
    return heard;
  }

  close(): void {
    for (const { descriptors } of this.#inbox) for (const fd of descriptors) closeSync(fd);
    for (const fd of this.#descriptors) closeSync(fd);
    closeSync(this.fd);
  }

  #read(): void {
    for (;;) {
      const size = this.#partial.length < 12 ? 12 : 12 + this.#partial.readUInt32LE(8);
      if (this.#partial.length === size) this.#whole();
      else if (!this.#more(size - this.#partial.length)) return;
    }
  }

  #more(wanted: number): boolean {
    const into = Buffer.alloc(wanted);
    const got = resultOf(native.receive(this.fd, into));
    if (isFailure(got) || got.length === 0) {
      if (got !== NOTHING_WAITS) this.#closed = true;
      return false;
    }
    this.#partial = Buffer.concat([this.#partial, into.subarray(0, got.length)]);
    this.#descriptors.push(...got.descriptors);
    return true;
  }

  #whole(): void {
    this.#inbox.push({
      request: this.#partial.readUInt32LE(0),
      flags: this.#partial.readUInt32LE(4),
      body: this.#partial.subarray(12),
      descriptors: this.#descriptors,
    });
    this.#partial = Buffer.alloc(0);
    this.#descriptors = [];
  }
}

/** The control socket of a VMM. */
export class ControlWire extends Wire {
  /** Sends a request that has a reply of its own. Resolves to the body of the reply. */
  async ask(request: number, body: Uint8Array = Buffer.alloc(0)): Promise<Buffer> {
    this.send(request, PLAIN, body);
    return this.reply(request);
  }

  async reply(request: number): Promise<Buffer> {
    const heard = await this.next();
    assert.equal(heard.request, request);
    assert.equal(heard.flags, REPLY);
    assert.deepEqual(heard.descriptors, []);
    return heard.body;
  }

  /** Sends a request with NEED_REPLY. Resolves to the value of the acknowledgement. */
  async tell(
    request: number,
    body: Uint8Array = Buffer.alloc(0),
    descriptors: number[] = [],
  ): Promise<bigint> {
    this.send(request, NEED_REPLY, body, descriptors);
    const acknowledgement = await this.reply(request);
    assert.equal(acknowledgement.length, 8);
    return acknowledgement.readBigUInt64LE();
  }

  /**
   * Sends a request without an answer. Resolves when the back-end has handled it, because a GET_FEATURES after it is
   * answered then.
   */
  async say(request: number, body: Uint8Array = Buffer.alloc(0), descriptors: number[] = []): Promise<void> {
    this.send(request, PLAIN, body, descriptors);
    await this.ask(Ask.GET_FEATURES);
  }
}
