/** The virtio-media device of one VM: configuration space, commandq, sessions. */
import { Errno } from '../errno.js';
import { errorLimited, infoLimited, log } from '../log.js';
import type { NodeDescription } from '../v4l2/description.js';
import type { HostNode } from '../v4l2/node.js';
import type { GuestMemory } from '../virtio/guest-memory.js';
import type { Queue } from '../virtio/queue.js';
import { Turn } from '../virtio/turn.js';
import { Account } from './account.js';
import { type Command, guard } from './commands/command.js';
import { type CommandHandlers, Commandq } from './commands/commandq.js';
import { execute } from './commands/execution.js';
import { type OptionalIoctls, readIoctl, runIoctl } from './commands/ioctl.js';
import { mapping, munmap } from './commands/mapping.js';
import { configurationOf } from './config-space.js';
import { drain } from './events/drain.js';
import { EventQueue, stale } from './events/eventq.js';
import { refuse } from './ioctls/ioctl-request.js';
import { DeviceObjects, type ObjectTable } from './memory/objects.js';
import { type MmapMode, SharedMemory } from './memory/shared-memory.js';
import { defaultPolicy, type Policy } from './policy.js';
import {
  COMMANDQ,
  closeCommand,
  ioctlCommand,
  mmapCommand,
  openResponse,
  responseHeader,
} from './protocol.js';
import { Session } from './session.js';
import type { RequestSupport, SessionContext } from './session-context.js';
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

export class MediaDevice implements CommandHandlers {
  readonly config: Uint8Array;
  readonly sharedMemorySize: number;

  readonly #optionalIoctls: OptionalIoctls;
  readonly #policy: Policy;
  readonly #sessions = new Map<number, Session>();
  /** Files of this connection that are being closed. */
  readonly #closing = new Set<Promise<void>>();
  readonly #account: Account;
  readonly #turn: Turn;
  readonly #events: EventQueue;
  readonly #commandq: Commandq;
  #context: SessionContext | null = null;
  #lastSession = 0;

  constructor(
    private readonly node: HostNode,
    description: NodeDescription,
    private readonly options: MediaDeviceOptions,
  ) {
    this.config = configurationOf(description);
    this.#account = Account.of(node);
    this.sharedMemorySize = options.sharedMemorySize;
    this.#policy = options.policy ?? defaultPolicy;
    this.#turn = options.turn ?? new Turn();
    this.#events = new EventQueue(this.#turn);
    this.#optionalIoctls = {
      expbuf: options.objects !== undefined,
      requestHandles: options.requests?.mode === 'handles',
    };
    // Only while both queues run: what a command causes needs the eventq, and the VMM maps nothing before.
    this.#commandq = new Commandq(this.#turn, this.#optionalIoctls, this, () => this.#events.running);
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
      account: this.#account,
      memory,
      shared,
      events: this.#events,
      sharedPages,
      turn: this.#turn,
      lists: this.#account.lists,
      linearMappings: this.#account.linearMappings,
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
    if (index === COMMANDQ) this.#commandq.start(queue);
    else this.#events.start(queue);
    this.#commandq.take();
  }

  queueKicked(index: number): void {
    if (index === COMMANDQ) this.#commandq.take();
    else this.#events.kicked();
  }

  /** Nothing of this queue is touched afterwards. */
  queueStopped(index: number): void {
    if (index === COMMANDQ) this.#commandq.stop();
    else this.#events.stop();
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
    this.#commandq.close();
    const shared = this.#context?.shared;
    // The hardware may write to the arena until the last file is closed.
    this.closed()
      .then(() => shared?.close())
      .catch((error: unknown) => errorLimited('arena', 'the shared memory of a VMM cannot be closed', error));
  }

  /** Files of this connection that are being closed. */
  get closing(): number {
    return this.#closing.size;
  }

  /** Resolves when every file of a closed session is closed, or cannot be. Never rejects. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing);
  }

  // One function a command.

  open(command: Command): void {
    const context = this.#context;
    if (!context || this.#account.files >= this.#policy.maxSessions)
      return command.answer({ status: Errno.EMFILE });
    const session = new Session(this.#sessionId(), context, drain);
    this.#sessions.set(session.id, session);
    this.#account.opened(session);
    session.sequence.add(guard(command, () => this.#open(session, command)));
  }

  async #open(session: Session, command: Command): Promise<void> {
    let status: number = Errno.EIO;
    try {
      await this.#account.settled();
      status = await session.open();
    } finally {
      if (status !== 0 || command.answered) void this.#end(session);
    }
    const opened = openResponse.encode({ status, reserved: 0, sessionId: session.id, reserved2: 0 });
    command.answer(status === 0 ? { status, payload: [opened.subarray(responseHeader.size)] } : { status });
  }

  /** No response, but the chain comes back: when the file is closed, so that the node is free for the next one. */
  async close(command: Command): Promise<void> {
    const session = this.#sessions.get(closeCommand.read(command.request).sessionId);
    if (!session) return command.answer({ status: Errno.EBADF });
    await this.#end(session);
    await session.quiet(command.remaining, stale.all);
    await this.#context?.shared.settle(this.#sessions.size === 0);
    command.answer({ status: 0 });
  }

  ioctl(command: Command): void {
    const { sessionId, code } = ioctlCommand.read(command.request);
    const body = command.request.subarray(ioctlCommand.size);
    const request = readIoctl(command, code, body, this.#optionalIoctls);
    if (typeof request === 'number') return command.answer({ status: request });
    const session = this.#sessions.get(sessionId);
    if (!session) return command.answer(refuse(request, Errno.EBADF));
    if (session.isDegraded) return command.answer(refuse(request, Errno.ETIMEDOUT));
    command.onLate(refuse(request, 0).payload ?? [], () => undefined);
    this.#enqueue(session, command, () => runIoctl(session, request));
  }

  mmap(command: Command): void {
    const session = this.#sessions.get(mmapCommand.read(command.request).sessionId);
    if (!session) return command.answer({ status: Errno.EBADF });
    if (session.isDegraded) return command.answer({ status: Errno.ETIMEDOUT });
    this.#enqueue(session, command, () => execute(session, command, command, mapping));
  }

  munmap(command: Command): void {
    const shared = this.#context?.shared;
    command.answer(shared ? munmap(shared, command) : { status: Errno.EINVAL });
  }

  /** In the session's turn; an answer that comes before takes it out again, with the memory that it holds. */
  #enqueue(session: Session, command: Command, run: () => Promise<void>): void {
    const task = guard(command, run);
    command.waits(session.sequence, task);
    session.sequence.add(task);
  }

  /** Not one that is open, however many there ever were. */
  #sessionId(): number {
    do this.#lastSession = (this.#lastSession % 0xffff_ffff) + 1;
    while (this.#sessions.has(this.#lastSession));
    return this.#lastSession;
  }

  /** Resolves when the file is closed, or cannot be. Never rejects. */
  #end(session: Session): Promise<void> {
    this.#sessions.delete(session.id);
    const closing = this.#account
      .closing(session, session.close())
      .catch((error: unknown) => errorLimited('close', 'a file of the node cannot be closed', error))
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    return closing;
  }
}
