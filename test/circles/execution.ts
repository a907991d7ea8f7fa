/** One run of a task: its process, its log, and the notes that its tests print meanwhile. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, type WriteStream } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { type Counts, type Note, read, type Stretch, sum, type Verdict } from './note.js';
import type { Outcome, Task } from './task.js';

/** A stretch of a run, and the seconds that it took by this process's clock. */
export type Timed = Stretch & { readonly seconds: number };

/** The line that lab/kernel-modules.ts and others print when a test cannot run. */
const REASON = /^\s*SKIPPED: (.*)/;

export class Execution {
  outcome: Outcome | 'waiting' | 'running' = 'waiting';
  /** The stretches so far, also while the task runs. */
  readonly stretches: Timed[] = [];
  readonly verdicts: Verdict[] = [];
  /** Why tests were skipped. */
  readonly reasons: string[] = [];
  #total = 0;
  #ends: Counts[] = [];
  #status = '';
  #started = 0;
  #ended = 0;
  #turn = 0;
  #child: ChildProcess | undefined;

  constructor(
    readonly task: Task,
    /** Path of the file that takes all output of the process. */
    readonly log: string,
  ) {}

  get seconds(): number {
    if (this.#started === 0) return 0;
    return ((this.#ended || performance.now()) - this.#started) / 1000;
  }

  /** One line that says what the task does now. */
  get status(): string {
    return this.#total > 0 ? `${this.verdicts.length} of ${this.#total}  ${this.#status}` : this.#status;
  }

  /**
   * Counts of all tests so far. A task that failed has at least one failure, also if its process died before it could
   * report one.
   */
  get counts(): Counts {
    const counts = sum(this.#ends);
    if (this.outcome === 'skipped') return { passed: 0, failed: 0, skipped: 1 };
    if (this.outcome === 'failed' && counts.failed === 0) return { ...counts, failed: 1 };
    return this.task.kind === 'check' && this.outcome === 'passed' ? { ...counts, passed: 1 } : counts;
  }

  /** Rejects only if the program does not exist. */
  async run(): Promise<void> {
    const { command, env, kind, excuse, limitSeconds } = this.task;
    this.outcome = 'running';
    this.#started = this.#turn = performance.now();
    const log = createWriteStream(this.log);
    const child = spawn(command[0]!, command.slice(1), {
      detached: true, // a process group of its own, so that all of it can be ended
      env: { ...process.env, ...env, VMB_NOTES: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      createInterface(stream).on('line', (line) => this.#hear(line, log));
    const limit = setTimeout(() => {
      this.#hear(`ended: it has taken more than ${limitSeconds} s`, log);
      this.end();
    }, limitSeconds * 1000);
    const status = await new Promise((resolve, reject) => child.on('close', resolve).on('error', reject));
    clearTimeout(limit);
    await new Promise<void>((resolve) => log.end(resolve));
    this.#ended = performance.now();
    const told = kind !== 'tests' || this.#ends.length > 0;
    if (status === 0 && told && sum(this.#ends).failed === 0) this.outcome = 'passed';
    else if (excuse !== undefined) this.skip(`${excuse}: ${this.#status || `see ${this.log}`}`);
    else this.outcome = 'failed';
  }

  skip(reason: string): void {
    this.outcome = 'skipped';
    this.reasons.push(reason);
  }

  /** Ends the whole process group: the child and all that it has started. */
  end(): void {
    if (this.#child?.pid === undefined || this.outcome !== 'running') return;
    process.kill(-this.#child.pid, 'SIGTERM');
  }

  #hear(line: string, log: WriteStream): void {
    const { text, note } = read(line);
    if (note) this.#take(note);
    if (note && text === '') return;
    log.write(`${text}\n`);
    const [, reason] = REASON.exec(text) ?? [];
    if (reason) this.reasons.push(reason);
    if (this.task.kind !== 'tests' && text.trim() !== '') this.#status = text.trim();
  }

  #take({ total, now, stretch, verdict, end }: Note): void {
    if (total !== undefined) this.#total += total;
    if (now !== undefined) this.#status = now;
    if (verdict) this.verdicts.push(verdict);
    if (end) this.#ends.push(end);
    if (!stretch) return;
    const at = performance.now();
    this.stretches.push({ ...stretch, seconds: (at - this.#turn) / 1000 });
    this.#turn = at;
  }
}
