/** Processes that the bench starts. All of them end with it, however it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from '../../src/printable.js';
import { parts } from './parts.js';

const GRACE_MS = 5000;
const KEPT_CHARACTERS = 4000;

const running = new Set<Launched>();
const endings = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** From now on, what was launched ends when this process does. `launch` sees to it if this process is killed. */
export function endTogether(): void {
  process.on('exit', () => {
    for (const each of running) each.kill('SIGKILL');
  });
  for (const [signal, status] of Object.entries(endings)) process.on(signal, () => process.exit(status));
}

export interface Launch {
  readonly command: readonly string[];
  /** As `launch` wants them. Absent: the command is started as it is. */
  readonly processors?: string;
  /** A folder in the place of /sys/dev/char. */
  readonly sysfs?: string;
  /** A library for LD_PRELOAD. */
  readonly preload?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class Launched {
  readonly #child: ChildProcess;
  /** The end of what it printed on standard error, and all of standard output. */
  errors = '';
  output = '';
  /** How it ended. undefined: it runs. */
  end: string | undefined;
  readonly ended: Promise<void>;

  constructor({ command, processors, sysfs, preload, env }: Launch) {
    const words = processors === undefined ? command : [parts.launch, processors, sysfs ?? '-', ...command];
    const preloaded = preload === undefined ? {} : { LAUNCH_PRELOAD: preload };
    this.#child = spawn(words[0]!, words.slice(1), {
      // A group of its own, so that what it starts ends with it.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, LAUNCH_PARENT: `${process.pid}`, ...env, ...preloaded },
    });
    running.add(this);
    this.#child.stdout!.setEncoding('utf8').on('data', (text) => {
      this.output += text;
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text) => {
      this.errors = (this.errors + text).slice(-KEPT_CHARACTERS);
    });
    this.ended = this.#end();
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** A sentence with what it printed last, for the operator. */
  lastWords(who: string): string {
    const text = (this.errors || this.output).trim();
    if (text === '') return `${who} printed nothing.`;
    const lines = text.split('\n').slice(-8);
    return [`${who} printed:`, ...lines.map((line) => `  ${printable(line)}`)].join('\n');
  }

  /** To its whole group. */
  kill(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It is gone.
    }
  }

  async stop(): Promise<void> {
    if (this.end === undefined) this.kill('SIGTERM');
    await Promise.race([this.ended, sleep(GRACE_MS, undefined, { ref: false })]);
    this.kill('SIGKILL');
    // What left the group may still hold the other ends.
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream?.destroy();
    await this.ended;
  }

  async #end(): Promise<void> {
    try {
      const [code, signal] = await once(this.#child, 'close');
      this.end = signal ?? `exit status ${code}`;
    } catch (error) {
      this.end = (error as Error).message;
    }
    running.delete(this);
  }
}
