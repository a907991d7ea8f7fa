/** `serve` as an operator starts it: a process with its own command line, user and log. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { GuestDriver } from '../../../src/client/guest-driver.js';
import { Vmm } from '../../../src/client/vmm.js';
import { filesOf, statusesOf } from '../../device/support/process-holdings.js';
import { until } from '../../support/until.js';

export const CLI = fileURLToPath(new URL('../../../src/cli.js', import.meta.url));
/** Milliseconds. In emulation this is enough for two starts of node. */
const START_MS = 60_000;

export interface ServeProcessOptions {
  readonly uid?: number;
  readonly gid?: number;
  readonly env?: NodeJS.ProcessEnv;
  /** The descriptors that it gets, from 3 on. */
  readonly inherited?: readonly number[];
  /** A shell script that must end by starting "$@". Absent: plain exec. */
  readonly shell?: string;
}

export class ServeProcess {
  stdout = '';
  stderr = '';
  #end: number | string | undefined;

  private constructor(private readonly child: ChildProcess) {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    child.on('exit', (code, signal) => {
      this.#end = signal ?? code!;
    });
  }

  static begin(words: readonly string[], options: ServeProcessOptions = {}): ServeProcess {
    const { inherited = [], env, shell, ...identity } = options;
    const program = [process.execPath, CLI, 'serve', ...words];
    const argv = shell === undefined ? program : ['/bin/sh', '-c', shell, 'sh', ...program];
    const child = spawn(argv[0]!, argv.slice(1), {
      ...identity,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe', ...inherited],
    });
    return new ServeProcess(child);
  }

  /** Resolves when it serves. Rejects with its output if it ends instead. */
  static async start(words: readonly string[], options: ServeProcessOptions = {}): Promise<ServeProcess> {
    const server = ServeProcess.begin(words, options);
    const served = () => server.stdout.includes('is served on') || server.#end !== undefined;
    await until(served, 'serve to start', START_MS);
    if (server.#end !== undefined) throw new Error(`serve ended with ${server.#end}: ${server.stderr}`);
    return server;
  }

  /** For a process that must not start: returns its exit code and its output. */
  static async refused(
    words: readonly string[],
    options: ServeProcessOptions = {},
  ): Promise<[exit: number | string, stderr: string]> {
    const server = ServeProcess.begin(words, options);
    await until(() => server.#end !== undefined || server.stdout !== '', 'serve to give up', START_MS);
    if (server.#end === undefined) await server.kill();
    return [server.#end!, server.stderr];
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Text of /proc/PID/task/TID/status of every thread. */
  statuses(): string[] {
    return statusesOf(this.pid);
  }

  /** Targets of its descriptors. */
  files(): string[] {
    return filesOf(this.pid);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends SIGTERM. Resolves to its exit code. */
  async stop(): Promise<number | string> {
    if (this.#end === undefined) {
      const ended = once(this.child, 'exit');
      this.child.kill('SIGTERM');
      await ended;
    }
    return this.#end!;
  }

  async kill(): Promise<void> {
    if (this.#end !== undefined) return;
    const ended = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await ended;
  }
}

/** A VMM and the driver of its guest. */
export async function enter(socket: string): Promise<{ frontEnd: Vmm; driver: GuestDriver }> {
  const frontEnd = await Vmm.connect(socket, { vmm: 'qemu' });
  return { frontEnd, driver: await GuestDriver.probe(frontEnd) };
}
