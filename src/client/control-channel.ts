/** The front-end's own requests. The back-end answers them in order; a missing answer ends the channel. */
import { closeSync } from 'node:fs';
import { HeaderFlags, VERSION } from '../vhost-user/protocol.js';
import { ProtocolError } from './driver-error.js';
import { type Message, MessageStream } from './message-stream.js';
import { requestName } from './request-names.js';

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

  /**
   * Takes ownership of the descriptor. `timeout`: milliseconds for each answer. `ended` is called once if the channel
   * fails; close() does not call it.
   */
  constructor(fd: number, timeout: number, ended: (reason: Error) => void) {
    this.#timeout = timeout;
    this.#ended = ended;
    this.#stream = new MessageStream(fd, {
      message: (message) => this.#receive(message),
      ended: (reason) => this.#fail(reason),
    });
  }

  /** Sends a request that has no answer. Throws the reason if the channel has ended. */
  tell(request: number, body: Uint8Array, descriptors: readonly number[] = []): void {
    this.#check();
    this.#stream.send(request, 0, body, descriptors);
  }

  /**
   * Sends a request and resolves with the body of its answer. The caller keeps the descriptors open until then. Rejects
   * with ProtocolError if no answer or a wrong answer comes, with Disconnected if the back-end hangs up.
   */
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

  /** Sends the bytes unchanged, for tests of the back-end. It adds no header. */
  sendRaw(bytes: Uint8Array, descriptors: readonly number[] = []): void {
    this.#stream.sendRaw(bytes, descriptors);
  }

  /** Resolves when no answer is outstanding, or when the channel ends. */
  idle(): Promise<void> {
    if (this.#expected.length === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Rejects waiting and later requests with `reason`. A second call is harmless. */
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
