/** The front-end's own requests: each answered in its turn, or given up after a while. */
import { closeSync } from 'node:fs';
import { HeaderFlags, VERSION } from '../vhost-user/protocol.js';
import { ProtocolError } from './driver-error.js';
import { type Message, MessageStream } from './message-stream.js';
import { requestName } from './request-numbers.js';

interface Expected {
  readonly request: number;
  resolve(body: Buffer): void;
  reject(error: Error): void;
  readonly timer: NodeJS.Timeout;
}

export class ControlChannel {
  readonly #stream: MessageStream;
  readonly #timeout: number;
  readonly #ended: (reason: Error) => void;
  readonly #expected: Expected[] = [];
  #idle: (() => void)[] = [];
  #failure: Error | undefined;

  /** Takes the descriptor. `ended` is called once, and not by close(). */
  constructor(fd: number, timeout: number, ended: (reason: Error) => void) {
    this.#timeout = timeout;
    this.#ended = ended;
    this.#stream = new MessageStream(fd, {
      message: (message) => this.#receive(message),
      ended: (reason) => this.#fail(reason),
    });
  }

  /** Sends a request that has no answer. */
  tell(request: number, body: Uint8Array, descriptors: readonly number[] = []): void {
    this.#check();
    this.#stream.send(request, 0, body, descriptors);
  }

  /** Sends a request and gives the body of its answer. Descriptors are borrowed until then. */
  ask(request: number, body: Uint8Array, descriptors: readonly number[] = [], flags = 0): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#check();
      const timer = setTimeout(
        () =>
          this.#fail(new ProtocolError(`${requestName(request)}: no answer in ${this.#timeout / 1000} s`)),
        this.#timeout,
      );
      this.#expected.push({ request, resolve, reject, timer });
      this.#stream.send(request, flags, body, descriptors);
    });
  }

  /** Bytes as they are: for tests of the other side. */
  sendRaw(bytes: Uint8Array, descriptors: readonly number[] = []): void {
    this.#stream.sendRaw(bytes, descriptors);
  }

  /** Resolves as soon as no answer is outstanding. */
  idle(): Promise<void> {
    if (this.#expected.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Whatever waits is rejected with `reason`, and whatever comes. Twice is harmless. */
  close(reason: Error): void {
    this.#drop(reason);
  }

  #check(): void {
    if (this.#failure) throw this.#failure;
  }

  #receive({ request, flags, body, descriptors }: Message): void {
    for (const fd of descriptors) closeSync(fd);
    const first = this.#expected[0];
    if (!first || first.request !== request || flags !== (VERSION | HeaderFlags.REPLY)) {
      const wanted = first ? requestName(first.request) : 'nothing';
      this.#fail(new ProtocolError(`an answer to ${requestName(request)} came, ${wanted} was asked`));
      return;
    }
    this.#expected.shift();
    clearTimeout(first.timer);
    first.resolve(body);
    if (this.#expected.length === 0) for (const resume of this.#idle.splice(0)) resume();
  }

  #fail(reason: Error): void {
    if (this.#failure) return;
    this.#drop(reason);
    this.#ended(reason);
  }

  #drop(reason: Error): void {
    this.#failure ??= reason;
    this.#stream.close();
    for (const { timer, reject } of this.#expected.splice(0)) {
      clearTimeout(timer);
      reject(reason);
    }
    for (const resume of this.#idle.splice(0)) resume();
  }
}
