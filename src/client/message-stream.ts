/** vhost-user messages over one connected socket, with their descriptors, in both directions. */
import { closeSync } from 'node:fs';
import { Errno, errnoName } from '../errno.js';
import { type FdPoller, native, PollEvents, type Received } from '../native.js';
import { isFailure, resultOf } from '../result.js';
import { HeaderFlags, header, MAX_BODY, VERSION } from '../vhost-user/protocol.js';
import { Disconnected } from './driver-error.js';

export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly body: Buffer;
  /** The receiver closes them. */
  readonly descriptors: number[];
}

export interface MessageReceiver {
  message(message: Message): void;
  /** The stream has ended: the peer hung up, or broke the protocol. Called once; close() does not call it. */
  ended(reason: Error): void;
}

export class MessageStream {
  readonly #fd: number;
  readonly #receiver: MessageReceiver;
  readonly #poller: FdPoller;
  readonly #header = Buffer.alloc(header.size);
  #body: Buffer | undefined;
  #filled = 0;
  #descriptors: number[] = [];
  #open = true;

  /** Takes ownership of the descriptor. */
  constructor(fd: number, receiver: MessageReceiver) {
    this.#fd = fd;
    this.#receiver = receiver;
    this.#poller = new native.FdPoller(fd, () => this.#read());
    this.#poller.watch(PollEvents.READABLE);
  }

  /** Sends one message. The caller keeps the descriptors. If the socket is full, the stream ends. */
  send(request: number, flags: number, body: Uint8Array, descriptors: readonly number[] = []): void {
    if (!this.#open) return;
    const head = header.encode({ request, flags: VERSION | flags, size: body.length });
    this.sendRaw(Buffer.concat([head, body]), descriptors);
  }

  /** Sends the bytes unchanged; it adds no header. */
  sendRaw(bytes: Uint8Array, descriptors: readonly number[] = []): void {
    if (!this.#open) return;
    const sent = resultOf(native.send(this.#fd, bytes, descriptors));
    if (sent === bytes.length) return;
    const isBroken = isFailure(sent) && sent.errno !== Errno.EAGAIN;
    this.#end(isBroken ? `send: ${errnoName(sent.errno)}` : 'the peer does not read its socket');
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poller.close();
    for (const fd of this.#descriptors.splice(0)) closeSync(fd);
    closeSync(this.#fd);
  }

  #end(reason: string): void {
    if (!this.#open) return;
    this.close();
    this.#receiver.ended(new Disconnected(reason));
  }

  /** Reads a header, then its body, and no byte more. So received descriptors always belong to this message. */
  #read(): void {
    while (this.#open) {
      const target = this.#body ?? this.#header;
      if (this.#filled < target.length) {
        const received = resultOf(native.receive(this.#fd, target.subarray(this.#filled)));
        if (!isFailure(received)) this.#take(received);
        else if (received.errno === Errno.EAGAIN) return;
        else this.#end(`receive: ${errnoName(received.errno)}`);
      }
      if (this.#open && this.#filled === target.length) this.#advance();
    }
  }

  #take({ length, descriptors }: Received): void {
    this.#descriptors.push(...descriptors);
    this.#filled += length;
    if (length === 0) this.#end('the peer closed the connection');
  }

  #advance(): void {
    const { request, flags, size } = header.read(this.#header);
    this.#filled = 0;
    if (this.#body) this.#deliver(request, flags, this.#body);
    else if (size > MAX_BODY) this.#end(`a message of ${size} bytes`);
    else if ((flags & HeaderFlags.VERSION_MASK) !== VERSION) this.#end(`a message with flags ${flags}`);
    else this.#body = Buffer.alloc(size);
  }

  #deliver(request: number, flags: number, body: Buffer): void {
    const message = { request, flags, body, descriptors: this.#descriptors };
    this.#body = undefined;
    this.#descriptors = [];
    this.#receiver.message(message);
  }
}
