/** The virtio-media device of one VM: configuration space, commandq, sessions. */
import { Errno } from '../errno.js';
import { infoLimited, log, warnLimited } from '../log.js';
import type { HostNode, NodeDescription } from '../v4l2/node.js';
import type { GuestMemory } from '../virtio/guest-memory.js';
import type { Queue } from '../virtio/queue.js';
import { Turn } from '../virtio/turn.js';
import { type Answer, attempt, Command as CommandChain, guard } from './command.js';
import { configurationOf } from './configuration.js';
import { EventQueue } from './events.js';
import { type Offers, readIoctl, refuse, runIoctl } from './ioctl.js';
import { mmap, munmap } from './mapping.js';
import { DeviceObjects, type ObjectTable } from './objects.js';
import { ANSWER_DEADLINE_MS, defaultPolicy, MAX_COMMANDS, type Policy } from './policy.js';
import {
  COMMANDQ,
  Command,
  closeCommand,
  commandHeader,
  ioctlCommand,
  mmapCommand,
  munmapCommand,
  openResponse,
  responseHeader,
} from './protocol.js';
import { type RequestSupport, Session, type SessionContext } from './session.js';
import { SgBudget } from './sg-budget.js';
import { type MmapMode, SharedMemory } from './shared-memory.js';
import { Stitches } from './stitches.js';
import type { ObjectTransport, SharedMemoryTransport } from './transport.js';

export interface MediaDeviceOptions {
  /** Bytes of SHM region 0; 0: none is offered. */
  readonly sharedMemorySize: number;
  readonly mmap: MmapMode;
  /** What the guest may do; absent: all that virtio-media carries. */
  readonly policy?: Policy;
  /** Whether buffers may be the guest's own pages. */
  readonly sharedPages?: boolean;
  /** The objects of all nodes that are served together; absent: none are offered. */
  readonly objects?: ObjectTable;
  /** Whether a lost session is told by an event of its own. */
  readonly errorEvents?: boolean;
  /** Media requests, where the node takes them. */
  readonly requests?: RequestSupport;
  /** The account that everything on this loop shares; absent: one of its own. */
  readonly turn?: Turn;
}

/** How long OPEN waits for files of a reset that are being closed. */
const CLOSING_GRACE_MS = 1000;

interface CommandRow {
  /** Bytes of the command's structure. */
  readonly size: number;
  readonly run: (device: MediaDevice, command: CommandChain) => void;
}

const commands: Readonly<Record<number, CommandRow>> = {
  [Command.OPEN]: { size: commandHeader.size, run: (device, command) => device.open(command) },
  [Command.CLOSE]: { size: closeCommand.size, run: (device, command) => device.close(command) },
  [Command.IOCTL]: { size: ioctlCommand.size, run: (device, command) => device.ioctl(command) },
  [Command.MMAP]: { size: mmapCommand.size, run: (device, command) => device.mmap(command) },
  [Command.MUNMAP]: { size: munmapCommand.size, run: (device, command) => device.munmap(command) },
};

export class MediaDevice {
  readonly config: Uint8Array;
  readonly sharedMemorySize: number;

  readonly #offers: Offers;
  readonly #policy: Policy;
  readonly #sessions = new Map<number, Session>();
  readonly #closing = new Set<Promise<void>>();
  /** Sessions whose file is open, or not closed yet. */
  readonly #files = new Set<Session>();
  readonly #turn: Turn;
  readonly #events: EventQueue;
  /** Commands without an answer, oldest first. */
  readonly #pending = new Set<CommandChain>();
  #context: SessionContext | null = null;
  #commandq: Queue | null = null;
  #timer: NodeJS.Timeout | null = null;
  #lastSession = 0;
  readonly #resume = (): void => this.#takeCommands();

  constructor(
    private readonly node: HostNode,
    description: NodeDescription,
    private readonly options: MediaDeviceOptions,
  ) {
    this.config = configurationOf(description);
    this.sharedMemorySize = options.sharedMemorySize;
    this.#policy = options.policy ?? defaultPolicy;
    this.#turn = options.turn ?? new Turn();
    this.#events = new EventQueue(this.#turn);
    this.#offers = {
      objects: options.objects !== undefined,
      handles: options.requests?.mode === 'handles',
    };
  }

  /** Open sessions. */
  get sessions(): number {
    return this.#sessions.size;
  }

  // What the transport calls.

  connected(memory: GuestMemory, transport: SharedMemoryTransport & ObjectTransport): void {
    const { sharedPages = false, errorEvents = false, requests = null, objects: table } = this.options;
    const shared = new SharedMemory(transport, this.options.mmap, this.#turn);
    if (shared.usable && shared.prefers !== transport.prefers)
      log.warn(`this VMM is better served with --mmap ${transport.prefers}: see docs/vmm.md`);
    this.#context = {
      node: this.node,
      policy: this.#policy,
      bufferBytes: () => [...this.#files].reduce((sum, { bufferBytes }) => sum + bufferBytes, 0),
      memory,
      shared,
      events: this.#events,
      sharedPages,
      turn: this.#turn,
      lists: SgBudget.ofDevice(),
      stitches: new Stitches(),
      objects: table ? new DeviceObjects(table, transport) : null,
      errorEvents,
      requests,
    };
  }

  /** What another device of the VM asks for; the descriptor is borrowed. Null: unknown. */
  object(uuid: Uint8Array): number | null {
    return this.#context?.objects?.find(uuid) ?? null;
  }

  queueStarted(index: number, queue: Queue): void {
    if (index === COMMANDQ) this.#commandq = queue;
    else this.#events.start(queue);
    this.#takeCommands();
  }

  queueKicked(index: number): void {
    if (index === COMMANDQ) this.#takeCommands();
    else this.#events.kicked();
  }

  /** Answers everything that waits: nothing of this queue is touched afterwards. EINTR: a program tries again. */
  queueStopped(index: number): void {
    if (index !== COMMANDQ) return this.#events.stop();
    for (const command of [...this.#pending]) command.interrupt(Errno.EINTR);
    this.#commandq = null;
  }

  reset(): void {
    const fields = { device: this.node.path, sessions: this.#sessions.size };
    infoLimited(`reset ${this.node.path}`, 'the guest reset the device', fields);
    for (const session of [...this.#sessions.values()]) void this.#end(session);
    this.#events.reset();
    this.#context?.shared.reset();
  }

  disconnected(): void {
    for (const session of [...this.#sessions.values()]) void this.#end(session);
    if (this.#timer) clearTimeout(this.#timer);
    const shared = this.#context?.shared;
    // The hardware may write to the arena until the last file is closed.
    void this.closed().then(() => shared?.close());
  }

  /** Resolves when every file of a closed session is closed. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing);
  }

  // One function a command.

  open(command: CommandChain): void {
    const context = this.#context;
    if (!context || this.#files.size >= this.#policy.maxSessions)
      return command.answer({ status: Errno.EMFILE });
    const session = new Session(this.#sessionId(), context);
    this.#sessions.set(session.id, session);
    this.#files.add(session);
    session.enqueue(async () => {
      if (this.#closing.size > 0) await Promise.race([Promise.all(this.#closing), delay(CLOSING_GRACE_MS)]);
      const status = await session.open();
      const opened = openResponse.encode({ status, reserved: 0, sessionId: session.id, reserved2: 0 });
      if (status !== 0 || command.answered) void this.#end(session);
      command.answer(status === 0 ? { status, payload: [opened.subarray(responseHeader.size)] } : { status });
    });
  }

  /** No response, but the chain comes back: when the file is closed, so that the node is free for the next one. */
  close(command: CommandChain): void {
    const session = this.#sessions.get(closeCommand.read(command.request).sessionId);
    if (!session) return command.answer({ status: Errno.EBADF });
    void this.#end(session)
      .then(() => this.#events.barrier(command.remaining))
      .then(() => this.#context?.shared.settle(this.#sessions.size === 0))
      .then(() => command.answer({ status: 0 }));
  }

  ioctl(command: CommandChain): void {
    const { sessionId, code } = ioctlCommand.read(command.request);
    const body = command.request.subarray(ioctlCommand.size);
    const request = readIoctl(command, code, body, this.#offers);
    if (typeof request === 'number') return command.answer({ status: request });
    const session = this.#sessions.get(sessionId);
    if (!session) return command.answer(refuse(request, Errno.EBADF));
    if (session.degraded) return command.answer(refuse(request, Errno.ETIMEDOUT));
    command.onLate(refuse(request, 0).payload ?? [], () => undefined);
    session.enqueue(guard(command, () => runIoctl(session, request)));
  }

  mmap(command: CommandChain): void {
    const session = this.#sessions.get(mmapCommand.read(command.request).sessionId);
    if (!session) return command.answer({ status: Errno.EBADF });
    session.enqueue(guard(command, async () => command.answer(await mmap(session, command))));
  }

  munmap(command: CommandChain): void {
    const shared = this.#context?.shared;
    command.answer(shared ? munmap(shared, command) : { status: Errno.EINVAL });
  }

  /** Not one that is open, however many there ever were. */
  #sessionId(): number {
    do this.#lastSession = (this.#lastSession % 0xffff_ffff) + 1;
    while (this.#sessions.has(this.#lastSession));
    return this.#lastSession;
  }

  /** Only while both queues run: what a command causes needs the eventq, and the VMM maps nothing before. */
  #takeCommands(): void {
    const queue = this.#commandq;
    const turn = this.#turn;
    if (!queue || !this.#events.running) return;
    do {
      while (this.#pending.size < MAX_COMMANDS) {
        const chain = queue.pop(turn);
        if (!chain) break;
        const command = new CommandChain(queue, chain, (answered) => this.#answered(answered));
        this.#pending.add(command);
        this.#dispatch(command);
      }
    } while (queue.enableKicks() && this.#pending.size < MAX_COMMANDS && !turn.over);
    queue.notify();
    // A guest that never stops must not keep the loop from others.
    if (turn.over) turn.goOn(this.#resume);
    this.#watchDeadlines();
  }

  #answered(command: CommandChain): void {
    const wasFull = this.#pending.size >= MAX_COMMANDS;
    this.#pending.delete(command);
    if (wasFull) setImmediate(() => this.#takeCommands());
  }

  #dispatch(command: CommandChain): void {
    const { request } = command;
    const code = request.length >= commandHeader.size ? commandHeader.read(request).command : -1;
    const row = commands[code];
    const refusal: Answer | null = !row
      ? { status: code < 0 ? Errno.EINVAL : Errno.ENOTTY }
      : request.length < row.size
        ? { status: Errno.EINVAL }
        : null;
    if (!refusal) return attempt(command, () => row!.run(this, command));
    warnLimited('command', 'the guest sent a malformed or unknown command', {
      command: code,
      bytes: request.length,
    });
    command.answer(refusal);
  }

  /** One timer for all: every command has the same time, so the oldest is due first. */
  #watchDeadlines(): void {
    const [oldest] = this.#pending;
    if (!oldest || this.#timer) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      for (const command of [...this.#pending]) {
        if (command.remaining > 0) break;
        warnLimited('deadline', 'a command was not done within its deadline: answered ETIMEDOUT', {
          ms: ANSWER_DEADLINE_MS,
        });
        command.interrupt(Errno.ETIMEDOUT);
      }
      this.#watchDeadlines();
    }, oldest.remaining);
  }

  #end(session: Session): Promise<void> {
    this.#sessions.delete(session.id);
    const closing = session.close().finally(() => {
      this.#closing.delete(closing);
      this.#files.delete(session);
    });
    this.#closing.add(closing);
    return closing;
  }
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
