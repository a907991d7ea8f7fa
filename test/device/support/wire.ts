/** A unix socket for vhost-user messages as bytes: nothing is checked, and anything can be sent. */
import { closeSync } from 'node:fs';
import { type FdPoller, native, PollEvents } from '../../../src/native.js';
import { isFailure, resultOf } from '../../../src/result.js';
import { until } from '../../support/until.js';
import { join, u32 } from './bytes.js';

const HEADER = 12;
export const REPLY = 0x5;
export const NEED_REPLY = 0x9;

export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly body: Buffer;
  /** The test has to close them. */
  readonly descriptors: number[];
}

/** Header and body. `size` may differ from the body's length. */
export function message(request: number, body: Uint8Array, flags = 1, size = body.length): Buffer {
  return join(u32(request, flags, size), body);
}

export class Wire {
  readonly received: Message[] = [];
  /** The daemon has closed the connection. */
  closed = false;
  readonly #poller: FdPoller;
  #bytes: Buffer = Buffer.alloc(0);
  #descriptors: number[] = [];
  #open = true;

  /** Takes ownership of the descriptor. */
  constructor(
    readonly fd: number,
    private readonly dribble = false,
  ) {
    this.#poller = new native.FdPoller(fd, () => this.#read());
    this.#poller.watch(PollEvents.READABLE);
  }

  /** Returns the number of bytes that the socket took, or -errno. */
  send(bytes: Uint8Array, descriptors: readonly number[] = []): number {
    if (!this.dribble) return native.send(this.fd, bytes, descriptors);
    for (let at = 0; at < bytes.length; at++)
      native.send(this.fd, bytes.subarray(at, at + 1), at === 0 ? descriptors : []);
    return bytes.length;
  }

  /** The next message. Throws if the daemon closes the connection first, or after `ms`. */
  async next(ms = 6000): Promise<Message> {
    await until(() => this.received.length > 0 || this.closed, 'a message of the daemon', ms);
    const first = this.received.shift();
    if (!first) throw new Error('the daemon closed the connection');
    return first;
  }

  /** Waits until the daemon closes the connection. */
  ended(ms = 6000): Promise<void> {
    return until(() => this.closed, 'the end of the connection', ms);
  }

  /** Stops reading until `listen()`. */
  deafen(): void {
    this.#poller.watch(0);
  }

  listen(): void {
    this.#poller.watch(PollEvents.READABLE);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poller.close();
    closeSync(this.fd);
    for (const { descriptors } of this.received) for (const fd of descriptors) closeSync(fd);
    for (const fd of this.#descriptors) closeSync(fd);
  }

  #read(): void {
    const into = Buffer.alloc(16384);
    const got = resultOf(native.receive(this.fd, into));
    if (isFailure(got) || got.length === 0) {
      this.closed = true;
      this.#poller.watch(0);
      return;
    }
    this.#descriptors.push(...got.descriptors);
    this.#bytes = join(this.#bytes, into.subarray(0, got.length));
    this.#parse();
  }

  #parse(): void {
    while (this.#bytes.length >= HEADER) {
      const end = HEADER + this.#bytes.readUInt32LE(8);
      if (this.#bytes.length < end) return;
      this.received.push({
        request: this.#bytes.readUInt32LE(0),
        flags: this.#bytes.readUInt32LE(4),
        body: Buffer.from(this.#bytes.subarray(HEADER, end)),
        descriptors: this.#descriptors.splice(0),
      });
      this.#bytes = Buffer.from(this.#bytes.subarray(end));
    }
  }
}
