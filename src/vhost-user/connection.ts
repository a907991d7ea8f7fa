/** Reads and writes whole vhost-user messages on a stream socket that carries bytes and descriptors. */
import { closeSync } from 'node:fs';
import { Errno, errnoName } from '../errno.js';
import { log } from '../log.js';
import { type FdPoller, native, PollEvents } from '../native.js';
import { failure, isFailure, type Result, resultOf } from '../result.js';
import { HeaderFlags, header, MAX_BODY, MAX_DESCRIPTORS, VERSION } from './protocol.js';

/** The most bytes that may wait for the peer. If there are more, the connection ends with ERR_VHOST_UNREAD. */
export const MAX_UNSENT = 256 * 1024;
/** The most messages that are handled in one turn of the loop. Other connections are served in between. */
export const MESSAGES_PER_TURN = 64;

/** What the peer did wrong. */
export type ProtocolErrorCode =
  | 'ERR_VHOST_VERSION'
  | 'ERR_VHOST_FLAGS'
  | 'ERR_VHOST_SIZE'
  | 'ERR_VHOST_DESCRIPTORS'
  | 'ERR_VHOST_TRUNCATED'
  | 'ERR_VHOST_UNREAD'
  | 'ERR_VHOST_REPLY'
  | 'ERR_VHOST_SOCKET';

/** The peer broke the protocol. Its connection is closed. */
export class ProtocolError extends Error {
  constructor(
    readonly code: ProtocolErrorCode,
    message: string,
  ) {
    super(message);
  }
}

/** One whole message. `flags` are those of HeaderFlags, with the version. */
export interface Message {
  readonly request: number;
  readonly flags: number;
  readonly body: Buffer;
  /** The receiver of the message closes them. */
  readonly descriptors: number[];
}

export interface ConnectionOptions {
  /** A connected stream socket. The connection owns it. */
  readonly fd: number;
  /** What the peer sends: requests, or replies to the bridge's requests. */
  readonly carries: 'requests' | 'replies';
  /**
   * If it throws or rejects, the connection ends with that error. No other message is read before a promise of it
   * settles.
   */
  readonly onMessage: (message: Message) => void | Promise<void>;
  /** Called once, after everything is closed, unless close() was called. null: the peer closed between two messages. */
  readonly onEnd: (error: Error | null) => void;
}

/** One stream socket with vhost-user messages: the control socket, or the back-end channel. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #poller: FdPoller;
  #header = Buffer.alloc(header.size);
  #body: Buffer | null = null;
  /** Bytes received so far: of the header, or of the body when the header is complete. */
  #received = 0;
  #descriptors: number[] = [];
  #unsent: Buffer[] = [];
  #unsentBytes = 0;
  #failed = false;
  #closed = false;
  /** A message is being handled, and the next ones wait in the socket. */
  #isHeld = false;

  /** Throws if the descriptor cannot be polled, and closes it in that case. */
  constructor(options: ConnectionOptions) {
    this.#options = options;
    try {
      this.#poller = new native.FdPoller(options.fd, (events) => this.#ready(events));
      this.#poller.watch(PollEvents.READABLE);
    } catch (error) {
      closeSync(options.fd);
      throw error;
    }
  }

  /**
   * Sends one message. If the socket is full, the message is queued; if `queues` is false, it is not sent (EAGAIN). A
   * message with descriptors is not queued by default. The caller keeps the descriptors; when this returns 0, they
   * have been sent. Returns 0, EAGAIN (nothing was sent) or ECONNRESET (the peer is gone). Never throws, and calls no
   * callback.
   */
  send(
    request: number,
    flags: number,
    body: Uint8Array,
    descriptors: readonly number[] = [],
    queues = descriptors.length === 0,
  ): number {
    if (this.#closed || this.#failed) return Errno.ECONNRESET;
    const head = header.encode({ request, flags: VERSION | flags, size: body.length });
    const message = Buffer.concat([head, body]);
    if (this.#unsent.length > 0 && !queues) return Errno.EAGAIN;
    const sent = this.#unsent.length > 0 ? 0 : resultOf(native.send(this.#options.fd, message, descriptors));
    if (sent === message.length) return 0;
    if (!isFailure(sent)) return this.#queue(message.subarray(sent));
    if (sent.errno !== Errno.EAGAIN) return this.#lost(sent.errno);
    return queues ? this.#queue(message) : Errno.EAGAIN;
  }

  /** Bytes that the peer has not read yet. ECONNRESET: the connection is closed. */
  get unreadBytes(): Result<number> {
    if (this.#closed) return failure(Errno.ECONNRESET);
    const unread = resultOf(native.unreadBytes(this.#options.fd));
    return isFailure(unread) ? unread : this.#unsentBytes + unread;
  }

  /** May be called twice. onEnd is not called any more. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poller.close();
    closeSync(this.#options.fd);
    closeAll(this.#descriptors);
    this.#unsent = [];
  }

  #end(error: Error | null): void {
    if (this.#closed) return;
    this.close();
    this.#options.onEnd(error);
  }

  /** Called by the addon: no exception may leave this function. */
  #ready(events: number): void {
    try {
      if (events & PollEvents.WRITABLE) this.#flush();
      if (events !== PollEvents.WRITABLE && !this.#isHeld) this.#receive();
    } catch (error) {
      this.#failWith(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #failWith(error: Error): void {
    if (!(error instanceof ProtocolError)) log.fault('a vhost-user connection failed', error);
    try {
      this.#end(error);
    } catch (fault) {
      log.fault('closing a vhost-user connection failed', fault);
    }
  }

  #receive(): void {
    for (let messages = 0; messages < MESSAGES_PER_TURN && !this.#closed && !this.#isHeld; ) {
      if (!this.#fill(this.#body ?? this.#header)) return;
      if (this.#body) {
        messages++;
        this.#deliver(this.#body);
      } else {
        this.#body = Buffer.alloc(this.#bodySize());
        this.#received = 0;
      }
    }
  }

  /** Returns true when `target` is full; false when nothing more can be read now, or the connection has ended. */
  #fill(target: Buffer): boolean {
    while (this.#received < target.length) {
      const got = resultOf(native.receive(this.#options.fd, target.subarray(this.#received)));
      if (isFailure(got) && got.errno === Errno.EAGAIN) return false;
      if (isFailure(got) && got.errno !== Errno.ECONNRESET) throw receiveError(got.errno);
      if (isFailure(got) || !this.#take(got.length, got.descriptors)) {
        this.#end(null);
        return false;
      }
    }
    return true;
  }

  /** Counts what was received. Returns false if the peer closed between two messages. */
  #take(length: number, descriptors: number[]): boolean {
    this.#descriptors.push(...descriptors);
    // Descriptors come with the first byte of a message. But a header may arrive in several pieces.
    if (this.#body && descriptors.length > 0)
      throw new ProtocolError('ERR_VHOST_DESCRIPTORS', 'descriptors came in the middle of a message');
    if (this.#descriptors.length > MAX_DESCRIPTORS)
      throw new ProtocolError(
        'ERR_VHOST_DESCRIPTORS',
        `more than ${MAX_DESCRIPTORS} descriptors in a message`,
      );
    this.#received += length;
    if (length > 0) return true;
    if (this.#body || this.#received > 0)
      throw new ProtocolError('ERR_VHOST_TRUNCATED', 'the peer closed in the middle of a message');
    return false;
  }

  /** Checks a complete header. Returns the size of the body in bytes. */
  #bodySize(): number {
    const { request, flags, size } = header.read(this.#header);
    const where = `request ${request}`;
    if ((flags & HeaderFlags.VERSION_MASK) !== VERSION)
      throw new ProtocolError('ERR_VHOST_VERSION', `${where}: version ${flags & HeaderFlags.VERSION_MASK}`);
    const isReply = (flags & HeaderFlags.REPLY) !== 0;
    if ((flags & ~HeaderFlags.ALL) !== 0 || isReply !== (this.#options.carries === 'replies'))
      throw new ProtocolError('ERR_VHOST_FLAGS', `${where}: flags 0x${flags.toString(16)}`);
    if (size > MAX_BODY) throw new ProtocolError('ERR_VHOST_SIZE', `${where}: a body of ${size} bytes`);
    return size;
  }

  #deliver(body: Buffer): void {
    const { request, flags } = header.read(this.#header);
    const descriptors = this.#descriptors;
    this.#descriptors = [];
    this.#body = null;
    this.#received = 0;
    const handling = this.#options.onMessage({ request, flags, body, descriptors });
    if (handling) this.#hold(handling);
  }

  #hold(handling: Promise<void>): void {
    this.#isHeld = true;
    this.#watch();
    const goOn = () => {
      this.#isHeld = false;
      if (!this.#closed) this.#watch();
    };
    handling.then(goOn, (error) => this.#failWith(error));
  }

  #watch(): void {
    const writable = this.#unsent.length > 0 ? PollEvents.WRITABLE : 0;
    this.#poller.watch(writable | (this.#isHeld ? 0 : PollEvents.READABLE));
  }

  #queue(bytes: Buffer): number {
    this.#unsent.push(bytes);
    this.#unsentBytes += bytes.length;
    if (this.#unsentBytes > MAX_UNSENT)
      return this.#failLater(new ProtocolError('ERR_VHOST_UNREAD', 'the peer does not read what it is sent'));
    this.#watch();
    return 0;
  }

  #flush(): void {
    while (this.#unsent.length > 0) {
      const first = this.#unsent[0]!;
      const sent = resultOf(native.send(this.#options.fd, first, []));
      if (isFailure(sent)) {
        if (sent.errno !== Errno.EAGAIN) this.#lost(sent.errno);
        return;
      }
      this.#unsentBytes -= sent;
      if (sent < first.length) this.#unsent[0] = first.subarray(sent);
      else this.#unsent.shift();
    }
    this.#watch();
  }

  /**
   * Sending failed. If the peer is gone, the reading side reports that after the peer's last messages, so they are
   * still handled. Every other errno ends the connection.
   */
  #lost(errno: number): number {
    this.#unsent = [];
    this.#unsentBytes = 0;
    this.#watch();
    if (errno === Errno.EPIPE || errno === Errno.ECONNRESET) return Errno.ECONNRESET;
    return this.#failLater(new ProtocolError('ERR_VHOST_SOCKET', `sending failed: ${errnoName(errno)}`));
  }

  #failLater(error: ProtocolError): number {
    this.#failed = true;
    setImmediate(() => this.#failWith(error));
    return Errno.ECONNRESET;
  }
}

/** Closes all descriptors and empties the list. */
export function closeAll(descriptors: number[]): void {
  for (const fd of descriptors.splice(0)) closeSync(fd);
}

function receiveError(errno: number): ProtocolError {
  if (errno === Errno.EMSGSIZE)
    return new ProtocolError('ERR_VHOST_DESCRIPTORS', 'more descriptors in a message than can be taken');
  return new ProtocolError('ERR_VHOST_SOCKET', `receiving failed: ${errnoName(errno)}`);
}
