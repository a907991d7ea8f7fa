/** The daemon under test: one process, and what the kernel reports about it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { until } from '../../support/until.js';
import { addressesOf, type Range } from './addresses.js';
import { type Holdings, holdingsOf } from './process-holdings.js';

const program = fileURLToPath(new URL('serve.js', import.meta.url));

export class DaemonProcess {
  /** Log lines at level error: faults of the daemon itself. */
  readonly errors: string[] = [];
  readonly log: string[] = [];
  #ready = false;
  #end: string | undefined;

  private constructor(private readonly child: ChildProcess) {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#ready ||= text.includes('ready');
    });
    let rest = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop()!;
      for (const line of lines) this.#read(line);
    });
    child.on('exit', (code, signal) => {
      this.#end = signal ?? `exit code ${code}`;
    });
  }

  /** `inherited`: descriptors that the daemon gets as 3, 4, … without knowing of them. */
  static async start(options: object, inherited: readonly number[]): Promise<DaemonProcess> {
    const stdio = ['pipe', 'pipe', 'pipe', ...inherited] as ('pipe' | number)[];
    const daemon = new DaemonProcess(spawn(process.execPath, [program, JSON.stringify(options)], { stdio }));
    await until(() => daemon.#ready || daemon.#end !== undefined, 'the daemon to start', 30_000);
    if (!daemon.alive) throw new Error(`the daemon did not start:\n${daemon.log.join('\n')}`);
    return daemon;
  }

  get pid(): number {
    return this.child.pid!;
  }

  get alive(): boolean {
    return this.#end === undefined;
  }

  /** How the daemon ended, and the last lines that it printed. */
  get obituary(): string {
    return `the daemon ended (${this.#end}):\n${this.log.slice(-20).join('\n')}`;
  }

  holdings(): Holdings {
    return holdingsOf(this.pid);
  }

  /** Address ranges of everything that the daemon has mapped. */
  addresses(): Range[] {
    return addressesOf(this.pid);
  }

  /** The value of a line of /proc/PID/status, in KiB. */
  memory(line: 'VmHWM' | 'VmPeak' | 'VmRSS'): number {
    const text = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    return Number(new RegExp(`^${line}:\\s+(\\d+)`, 'm').exec(text)![1]);
  }

  /** The kernel's text about one descriptor: position, flags, inode. */
  descriptor(fd: number): string {
    return `${readlinkSync(`/proc/${this.pid}/fd/${fd}`)} ${readFileSync(`/proc/${this.pid}/fdinfo/${fd}`, 'utf8')}`;
  }

  async stop(): Promise<void> {
    this.child.stdin!.end();
    await until(() => !this.alive, 'the daemon to stop', 10_000);
  }

  #read(line: string): void {
    this.log.push(line);
    if (line.includes('"level":"error"') || !line.startsWith('{')) this.errors.push(line);
  }
}
