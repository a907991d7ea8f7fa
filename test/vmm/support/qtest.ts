/** QEMU's qtest protocol: accesses of a CPU that does not exist, one line to QEMU and one line back, in order. */
import type { Socket } from 'node:net';
import { LineReader } from './line-reader.js';

interface Expected {
  readonly command: string;
  resolve(words: string): void;
  reject(error: Error): void;
}

export class Qtest {
  readonly #socket: Socket;
  readonly #expected: Expected[] = [];
  #closed: Error | undefined;

  /** Takes ownership of the socket of a QEMU that was started with `-qtest unix:…`. */
  constructor(socket: Socket) {
    this.#socket = socket;
    const lines = new LineReader((line) => this.#receive(line));
    socket.on('data', (chunk: Buffer) => lines.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#close(new Error('QEMU has closed the qtest connection')));
  }

  inl(port: number): Promise<number> {
    return this.#number(`inl ${hex(port)}`);
  }

  async outl(port: number, value: number): Promise<void> {
    await this.#send(`outl ${hex(port)} ${hex(value >>> 0)}`);
  }

  readb(address: number): Promise<number> {
    return this.#number(`readb ${hex(address)}`);
  }

  readw(address: number): Promise<number> {
    return this.#number(`readw ${hex(address)}`);
  }

  readl(address: number): Promise<number> {
    return this.#number(`readl ${hex(address)}`);
  }

  async writeb(address: number, value: number): Promise<void> {
    await this.#send(`writeb ${hex(address)} ${hex(value)}`);
  }

  async writew(address: number, value: number): Promise<void> {
    await this.#send(`writew ${hex(address)} ${hex(value)}`);
  }

  async writel(address: number, value: number): Promise<void> {
    await this.#send(`writel ${hex(address)} ${hex(value >>> 0)}`);
  }

  /** `length` bytes of guest-physical memory, as the guest's CPU would read them. */
  async read(address: number, length: number): Promise<Buffer> {
    const bytes = Buffer.from(await this.#send(`b64read ${hex(address)} ${hex(length)}`), 'base64');
    if (bytes.length !== length) throw new Error(`qtest read ${bytes.length} bytes instead of ${length}`);
    return bytes;
  }

  async write(address: number, bytes: Uint8Array): Promise<void> {
    await this.#send(
      `b64write ${hex(address)} ${hex(bytes.length)} ${Buffer.from(bytes).toString('base64')}`,
    );
  }

  close(): void {
    this.#close(new Error('the qtest connection was closed'));
  }

  async #number(command: string): Promise<number> {
    return Number(await this.#send(command));
  }

  /** Lines that are sent without waiting for answers are carried out in their order. */
  #send(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      this.#expected.push({ command, resolve, reject });
      this.#socket.write(`${command}\n`);
    });
  }

  #receive(line: string): void {
    if (line.startsWith('IRQ ')) return;
    const expected = this.#expected.shift();
    if (line === 'OK' || line.startsWith('OK ')) expected?.resolve(line.slice(3));
    else expected?.reject(new Error(`qtest answered ${line} to ${expected.command.slice(0, 80)}`));
  }

  #close(reason: Error): void {
    this.#closed ??= reason;
    this.#socket.destroy();
    for (const { reject } of this.#expected.splice(0)) reject(this.#closed);
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
