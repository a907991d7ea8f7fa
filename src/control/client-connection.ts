/**
 * One client of a control socket. Its requests are answered one after the other: nothing is read before the answer is
 * out, so what a client can make this process keep is a chunk of input and one answer.
 */
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type ControlAnswer, type ControlErrorCode, MAX_REQUEST, refusal } from './protocol.js';

/** Milliseconds. */
export interface ControlTimes {
  readonly line: number;
  readonly idle: number;
  readonly read: number;
  readonly pace: number;
}

const NEWLINE = 10;
/** Milliseconds that a client has to read why it is cut off. */
const FAREWELL_MS = 200;

export class ClientConnection {
  #input: Buffer = Buffer.alloc(0);
  #isAnswering = false;
  #hasEnded = false;
  #isCut = false;
  /** A part of a line is there. */
  #isInLine = false;
  #timer: NodeJS.Timeout | undefined;

  /** `answer` resolves to the answer of a line when it is its turn, and never rejects. */
  constructor(
    private readonly socket: Socket,
    private readonly times: ControlTimes,
    private readonly answer: (line: string) => Promise<ControlAnswer>,
    onClose: () => void,
  ) {
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('end', () => this.#end());
    // The socket closes after an error.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(this.#timer);
      onClose();
    });
    this.#watch();
  }

  /** Says why, and closes the connection. */
  cut(code: ControlErrorCode): void {
    if (this.#isCut) return;
    this.#isCut = true;
    clearTimeout(this.#timer);
    this.#input = Buffer.alloc(0);
    this.socket.end(lineOf(refusal(code)));
    this.#timer = setTimeout(() => this.close(), FAREWELL_MS);
  }

  close(): void {
    this.#isCut = true;
    this.socket.destroy();
  }

  #take(chunk: Buffer): void {
    if (this.#isCut) return;
    this.#input = Buffer.concat([this.#input, chunk]);
    void this.#next();
  }

  /** The client sends no more. What it has sent is answered, also a last line without a newline. */
  #end(): void {
    this.#hasEnded = true;
    void this.#next();
  }

  /** Answers every line that is there. */
  async #next(): Promise<void> {
    if (this.#isAnswering) return;
    this.#isAnswering = true;
    this.socket.pause();
    let hasAnswered = false;
    for (let line = this.#line(); line !== undefined && !this.#isCut; line = this.#line()) {
      clearTimeout(this.#timer);
      await this.#say(await this.answer(line));
      hasAnswered = true;
    }
    this.#isAnswering = false;
    if (this.#isCut) return;
    if (this.#hasEnded) return void this.socket.end();
    this.socket.resume();
    // A line has its time from its first byte on, however often a byte of it comes.
    if (hasAnswered || this.#isInLine !== this.#input.length > 0) this.#watch();
  }

  /** Takes the next line. undefined: none is whole. */
  #line(): string | undefined {
    const at = this.#input.indexOf(NEWLINE);
    const length = at < 0 ? this.#input.length : at;
    if (length > MAX_REQUEST) {
      this.cut('too-long');
      return undefined;
    }
    if (at < 0 && (!this.#hasEnded || length === 0)) return undefined;
    const line = this.#input.subarray(0, length).toString('utf8');
    this.#input = this.#input.subarray(length + 1);
    return line;
  }

  async #say(answer: ControlAnswer): Promise<void> {
    if (this.#isCut) return;
    const over = new AbortController();
    const late = delay(this.times.read, 'late', { signal: over.signal }).catch(() => 'stopped');
    const written = new Promise<string>((resolve) =>
      this.socket.write(lineOf(answer), () => resolve('written')),
    );
    const result = await Promise.race([written, late]);
    over.abort();
    // Nothing can be said to who does not read.
    if (result === 'late') this.close();
  }

  /** Starts the time of a line, or of the silence before it. */
  #watch(): void {
    clearTimeout(this.#timer);
    this.#isInLine = this.#input.length > 0;
    const code = this.#isInLine ? 'slow' : 'idle';
    this.#timer = setTimeout(() => this.cut(code), this.#isInLine ? this.times.line : this.times.idle);
  }
}

export const lineOf = (answer: ControlAnswer): string => `${JSON.stringify(answer)}\n`;
