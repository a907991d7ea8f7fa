/** The commandq: takes descriptor chains from the ring and gives each command to its handler (VIRTIO 1.4, Media Device, "Virtqueues"). */
import { Errno } from '../../errno.js';
import { warnLimited } from '../../log.js';
import type { Queue } from '../../virtio/queue.js';
import type { Turn } from '../../virtio/turn.js';
import {
  Command as CommandCode,
  closeCommand,
  commandHeader,
  ioctlCommand,
  mmapCommand,
  munmapCommand,
} from '../protocol.js';
import { attempt, Command } from './command.js';
import { type OptionalIoctls, usefulBytes } from './ioctl.js';
import { UnansweredCommands } from './unanswered.js';

/** One function a command. Each answers its command, sooner or later. */
export type CommandHandlers = Readonly<
  Record<'open' | 'close' | 'ioctl' | 'mmap' | 'munmap', (command: Command) => void | Promise<void>>
>;

interface CommandRow {
  /** Bytes of the command's structure. */
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

export class Commandq {
  readonly #unanswered = new UnansweredCommands();
  #queue: Queue | null = null;
  readonly #resume = (): void => this.take();
  readonly #useful = (head: Buffer): number => usefulBytes(head, this.optionalIoctls);

  /** `isReady`: whether commands may be taken at all, which is looked at each time. */
  constructor(
    private readonly turn: Turn,
    private readonly optionalIoctls: OptionalIoctls,
    private readonly handlers: CommandHandlers,
    private readonly isReady: () => boolean,
  ) {}

  start(queue: Queue): void {
    this.#queue = queue;
  }

  /** Answers all commands, and does not touch the ring afterwards. EINTR: a program tries again. */
  stop(): void {
    this.#unanswered.interrupt(Errno.EINTR);
    this.#queue = null;
  }

  /** No command is answered any more. Twice is harmless. */
  close(): void {
    this.#unanswered.close();
  }

  /** Takes what the driver has made available, as long as the turn lasts. */
  take(): void {
    const { turn } = this;
    const queue = this.#queue;
    if (!queue || !this.isReady()) return;
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
    // A guest that never stops must not keep the loop from others.
    if (turn.over) turn.goOn(this.#resume);
    this.#unanswered.watch();
  }

  #answered(command: Command): void {
    const wasFull = this.#unanswered.isFull;
    this.#unanswered.remove(command);
    if (wasFull) setImmediate(this.#resume);
  }

  #dispatch(command: Command): void {
    const { request } = command;
    const code = request.length >= commandHeader.size ? commandHeader.read(request).command : -1;
    const row = commands[code];
    if (row && request.length >= row.size) return attempt(command, () => this.handlers[row.handler](command));
    warnLimited('command', 'the guest sent a malformed or unknown command', {
      command: code,
      bytes: request.length,
    });
    command.answer({ status: row || code < 0 ? Errno.EINVAL : Errno.ENOTTY });
  }
}
