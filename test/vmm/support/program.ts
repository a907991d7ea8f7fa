/** A process that a test has started: its output and how it ends. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import type { Readable } from 'node:stream';

/**
 * A crash must be reported by a test and leave no core file. No process survives the tests, not even if they are
 * killed.
 */
const LAUNCHER = ['-c', 'ulimit -c 0; exec setpriv --pdeathsig KILL -- "$@"', 'sh'];
const EXIT_TIMEOUT_MS = 5000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Program {
  readonly name: string;
  readonly exited: Promise<Exit>;
  stdout = '';
  stderr = '';
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;

  constructor(name: string, command: string, parameters: readonly string[]) {
    this.name = name;
    const child = spawn('sh', [...LAUNCHER, command, ...parameters], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    child.stdout.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    // `close`, not `exit`: all output has arrived by then.
    this.exited = once(child, 'close').then(([code, signal]): Exit => ({ code, signal }));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Numbers of its open descriptors. */
  get descriptors(): string[] {
    return readdirSync(`/proc/${this.pid}/fd`);
  }

  /** Resolves with `promise`. Rejects if the program ends before it, or after the time limit. */
  async during<T>(what: string, timeout: number, promise: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.name}: no ${what} in ${timeout} ms`)), timeout);
    });
    const ended = this.exited.then(({ code, signal }) => {
      throw new Error(`${this.name} ended (${signal ?? code}) before its ${what}: ${this.stderr.trim()}`);
    });
    ended.catch(() => undefined);
    return Promise.race([promise, late, ended]).finally(() => clearTimeout(timer));
  }

  /** Closes the pipes of its output, so that nobody reads it any more. */
  deafen(): void {
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** How it ended. Rejects if it does not end in time. */
  async end(timeout = EXIT_TIMEOUT_MS): Promise<Exit> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.name} has not ended in ${timeout} ms`)), timeout);
    });
    return Promise.race([this.exited, late]).finally(() => clearTimeout(timer));
  }

  /** Kills it. May be called twice. */
  async kill(): Promise<Exit> {
    if (this.alive) this.signal('SIGKILL');
    return this.end();
  }
}
