/** Commands without an answer, oldest first. One timer is enough, because all have the same time to be answered. */
import { Errno } from '../../errno.js';
import { warnLimited } from '../../log.js';
import { ANSWER_DEADLINE_MS, MAX_COMMANDS } from '../policy.js';
import type { Command } from './command.js';

/** Full at MAX_COMMANDS, but add() does not check it. */
export class UnansweredCommands {
  readonly #commands = new Set<Command>();
  #timer: NodeJS.Timeout | null = null;

  get isFull(): boolean {
    return this.#commands.size >= MAX_COMMANDS;
  }

  get isEmpty(): boolean {
    return this.#commands.size === 0;
  }

  add(command: Command): void {
    this.#commands.add(command);
  }

  remove(command: Command): void {
    this.#commands.delete(command);
  }

  /** Answers all commands with `errno`. */
  interrupt(errno: number): void {
    for (const command of [...this.#commands]) command.interrupt(errno);
  }

  /** Starts the timer for the oldest command, if it does not run. */
  watch(): void {
    const [oldest] = this.#commands;
    if (oldest && !this.#timer) this.#timer = setTimeout(() => this.#expire(), oldest.remaining);
  }

  /** Stops the timer. Calling it twice is harmless. */
  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }

  #expire(): void {
    this.#timer = null;
    for (const command of [...this.#commands]) {
      if (command.remaining > 0) break;
      warnLimited('deadline', 'a command was not done within its deadline: answered ETIMEDOUT', {
        ms: ANSWER_DEADLINE_MS,
      });
      command.interrupt(Errno.ETIMEDOUT);
    }
    this.watch();
  }
}
