/**
 * The commandq: takes chains from the ring and calls the handler of each command (VIRTIO 1.4, Media Device,
 * "Virtqueues").
 */
import { Errno } from '../../errno.js';
import { warnLimited } from '../../log.js';
import type { Queue } from '../../virtio/queue.js';
import type { Turn } from '../../virtio/turn.js';
import { ANSWER_DEADLINE_MS, GUEST_TIMEOUT_MS, LAST_WRITE_MS, MAX_RING_THREADS } from '../policy.js';
import {
  Command as CommandCode,
  closeCommand,
  commandHeader,
  ioctlCommand,
  mmapCommand,
  munmapCommand,
} from '../protocol.js';
import { attempt, Command } from './command.js';
import type { FlatCommands } from './flat-commands.js';
import { type OptionalIoctls, usefulBytes } from './ioctl.js';
import { UnansweredCommands } from './unanswered.js';

/** One function for each command. It must answer the command, now or later. */
export type CommandHandlers = Readonly<
  Record<'open' | 'close' | 'ioctl' | 'mmap' | 'munmap', (command: Command) => void | Promise<void>>
>;

interface CommandRow {
  /** Bytes of the command's structure. A shorter command is answered EINVAL. */
  readonly size: number;
  readonly handler: keyof CommandHandlers;
}

const commands: Readonly<Record<number, CommandRow>> = {
  [CommandCode.OPEN]: { size: commandHeader.size, handler: 'open' },
  [CommandCode.CLOSE]: { size: closeCommand.size, handler: 'close' },
  [CommandCode.IOCTL]: { size: ioctlCommand.size, handler: 'ioctl' },
  [CommandCode.MMAP]: { size: mmapCommand.size, handler: 'mmap' },
  [CommandCode.MUNMAP]: { size: munmapCommand.size, handler: 'munmap' },
};

/** After so many flat commands in a row, threads take the chains. */
const LEND_AFTER = 3;

/**
 * At most MAX_COMMANDS are in work. The others stay in the ring. While the guest sends flat commands only, threads take
 * the chains instead of the loop.
 */
export class Commandq {
  readonly #unanswered = new UnansweredCommands();
  #queue: Queue | null = null;
  /** Flat commands that came one after the other. */
  #flatInRow = 0;
  /** take() is under way, and answers of its commands may come before it ends. */
  #isTaking = false;
  readonly #resume = (): void => this.take();
  readonly #useful = (head: Buffer): number => usefulBytes(head, this.optionalIoctls);

  /** `isReady`: whether commands may be taken now. Each take() calls it. */
  constructor(
    private readonly turn: Turn,
    private readonly optionalIoctls: OptionalIoctls,
    private readonly handlers: CommandHandlers,
    private readonly isReady: () => boolean,
    private readonly flat: FlatCommands,
  ) {}

  /** The queue runs. take() has to be called next. */
  start(queue: Queue): void {
    this.#queue = queue;
    this.#flatInRow = 0;
    this.#isTaking = false;
    const times = { deadline: ANSWER_DEADLINE_MS, lastWrite: LAST_WRITE_MS, guestTimeout: GUEST_TIMEOUT_MS };
    queue.threads?.serve(this.flat.table.native, times, MAX_RING_THREADS, (notice) =>
      this.flat.noticed(notice),
    );
  }

  /** No command is taken until take(). */
  pause(): void {
    this.#queue?.threads?.reclaim();
  }

  /** Answers all commands EINTR, so that programs try again. The ring is not touched afterwards. */
  stop(): void {
    this.#queue?.threads?.interrupt(Errno.EINTR);
    this.#unanswered.interrupt(Errno.EINTR);
    this.#queue = null;
  }

  /** Stops the timer: no command is answered at its deadline any more. Calling it twice is harmless. */
  close(): void {
    this.#unanswered.close();
  }

  /** Takes the chains that the driver has made available. When the turn is used up, a later turn takes the rest. */
  take(): void {
    const { turn } = this;
    const queue = this.#queue;
    if (!queue || queue.threads?.isLent || !this.isReady()) return;
    this.#isTaking = true;
    do {
      while (!this.#unanswered.isFull) {
        const chain = queue.pop(turn, this.#useful);
        if (!chain) break;
        const command = new Command(queue, chain, (answered) => this.#answered(answered));
        this.#unanswered.add(command);
        this.#dispatch(command);
      }
    } while (queue.enableKicks() && !this.#unanswered.isFull && !turn.over);
    queue.notify();
    // A guest that always sends more commands must not block the loop for others.
    if (turn.over) turn.goOn(this.#resume);
    this.#unanswered.watch();
    this.#isTaking = false;
    this.#lend();
  }

  /** Threads take the chains from now on, if nothing but flat commands comes and the loop has answered all of them. */
  #lend(): void {
    if (this.#isTaking || this.turn.over || !this.#unanswered.isEmpty) return;
    if (this.#flatInRow >= LEND_AFTER) this.#queue?.threads?.lend();
  }

  #answered(command: Command): void {
    const wasFull = this.#unanswered.isFull;
    this.#unanswered.remove(command);
    if (wasFull) setImmediate(this.#resume);
    this.#lend();
  }

  #dispatch(command: Command): void {
    const { request } = command;
    const code = request.length >= commandHeader.size ? commandHeader.read(request).command : -1;
    const row = commands[code];
    this.#flatInRow = this.#isFlat(code, request) ? this.#flatInRow + 1 : 0;
    if (row && request.length >= row.size) return attempt(command, () => this.handlers[row.handler](command));
    warnLimited('command', 'the guest sent a malformed or unknown command', {
      command: code,
      bytes: request.length,
    });
    command.answer({ status: row || code < 0 ? Errno.EINVAL : Errno.ENOTTY });
  }

  #isFlat(command: number, request: Buffer): boolean {
    if (command !== CommandCode.IOCTL || request.length < ioctlCommand.size) return false;
    const { sessionId, code } = ioctlCommand.read(request);
    return this.flat.has(sessionId, code);
  }
}
