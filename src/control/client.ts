/** The side that asks: one connection to a control socket. */
import { createConnection, type Socket } from 'node:net';
import { CONTROL_VERSION, type ControlAnswer, MAX_ANSWER } from './protocol.js';

/** Milliseconds that an answer may take. */
const ANSWER_MS = 5000;

/** Why a daemon cannot be asked: a code of docs/errors.md and a sentence. */
export class ControlClientError extends Error {
  constructor(
    readonly code: 'ERR_SOCKET_CONNECT' | 'ERR_PEER',
    message: string,
  ) {
    super(message);
    this.name = 'ControlClientError';
  }
}

export class ControlClient {
  #input = '';
  #waiting: { resolve: (line: string) => void; reject: (error: Error) => void } | null = null;
  #error: Error | null = null;

  private constructor(
    private readonly socket: Socket,
    private readonly path: string,
  ) {
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => this.#take(text));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#fail(this.#peer('has closed the connection')));
  }

  /** Rejects with ERR_SOCKET_CONNECT. */
  static connect(path: string): Promise<ControlClient> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path });
      const failed = (error: NodeJS.ErrnoException): void =>
        reject(new ControlClientError('ERR_SOCKET_CONNECT', `${path} cannot be asked: ${reasonOf(error)}`));
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        resolve(new ControlClient(socket, path));
      });
    });
  }

  /** The result of a command. One at a time. Rejects with ERR_PEER, also if the command was refused. */
  async ask(command: string, given: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    if (this.#error) throw this.#error;
    const timer = setTimeout(() => this.socket.destroy(), ANSWER_MS);
    const line = await new Promise<string>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.socket.write(`${JSON.stringify({ ...given, version: CONTROL_VERSION, command })}\n`);
    }).finally(() => clearTimeout(timer));
    const answer = this.#answerOf(line);
    if (answer.ok) return answer.result;
    throw this.#peer(`refuses ${command}: ${answer.error?.message ?? 'no reason is given'}`);
  }

  close(): void {
    this.socket.destroy();
  }

  #take(text: string): void {
    this.#input += text;
    const at = this.#input.indexOf('\n');
    if (at < 0) {
      if (this.#input.length > MAX_ANSWER) this.socket.destroy();
      return;
    }
    const line = this.#input.slice(0, at);
    this.#input = this.#input.slice(at + 1);
    this.#waiting?.resolve(line);
    this.#waiting = null;
  }

  #fail(error: Error): void {
    this.#error = error;
    this.#waiting?.reject(error);
    this.#waiting = null;
  }

  #answerOf(line: string): ControlAnswer {
    try {
      const answer = JSON.parse(line) as ControlAnswer | null;
      if (typeof answer === 'object' && answer !== null) return answer;
    } catch {
      // What is no JSON is no answer.
    }
    throw this.#peer('does not speak the control protocol');
  }

  #peer(what: string): ControlClientError {
    return new ControlClientError('ERR_PEER', `${this.path} ${what}`);
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket; start `serve` with --control',
  ECONNREFUSED: 'nobody serves it; start `serve` with --control',
  EACCES: 'it is the socket of another user; ask as that user, or as root',
};

const reasonOf = ({ code, message }: NodeJS.ErrnoException): string => reasons[code ?? ''] ?? message;
