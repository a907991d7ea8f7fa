/** QEMU's machine protocol (QMP): JSON lines. Events are ignored. */
import type { Socket } from 'node:net';
import { LineReader } from './line-reader.js';

interface Reply {
  readonly QMP?: object;
  readonly event?: string;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

interface Expected {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

export class Qmp {
  readonly #socket: Socket;
  readonly #expected: Expected[] = [];
  #closed: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const lines = new LineReader((line) => this.#receive(JSON.parse(line) as Reply));
    socket.on('data', (chunk: Buffer) => lines.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#close(new Error('QEMU has closed the QMP connection')));
  }

  /** Resolves after the greeting, which QEMU sends when all its devices are realized. */
  static async greet(socket: Socket): Promise<Qmp> {
    const qmp = new Qmp(socket);
    await qmp.#next();
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  /** The return value of the command. Rejects with QEMU's description of the error. */
  async execute(command: string, parameters: object = {}): Promise<unknown> {
    const next = this.#next();
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters })}\n`);
    const { error, return: value } = await next;
    if (error) throw new Error(`QMP ${command}: ${error.desc}`);
    return value;
  }

  close(): void {
    this.#close(new Error('the QMP connection was closed'));
  }

  #next(): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      this.#expected.push({ resolve, reject });
    });
  }

  #receive(reply: Reply): void {
    if (reply.event === undefined) this.#expected.shift()?.resolve(reply);
  }

  #close(reason: Error): void {
    this.#closed ??= reason;
    this.#socket.destroy();
    for (const { reject } of this.#expected.splice(0)) reject(this.#closed);
  }
}
