/** The virtio-media device of one VM: configuration space, commandq, sessions. */
import { Errno } from '../errno.js';
import { errorLimited, infoLimited, log } from '../log.js';
import { isFailure } from '../result.js';
import type { NodeDescription } from '../v4l2/description.js';
import type { HostNode } from '../v4l2/node.js';
import type { GuestMemory } from '../virtio/guest-memory.js';
import type { Queue } from '../virtio/queue.js';
import { Turn } from '../virtio/turn.js';
import { Account } from './account.js';
import { type Command, guard } from './commands/command.js';
import { type CommandHandlers, Commandq } from './commands/commandq.js';
import { execute } from './commands/execution.js';
import { FlatCommands } from './commands/flat-commands.js';
import { type OptionalIoctls, readIoctl, runIoctl } from './commands/ioctl.js';
import { mapping, munmap } from './commands/mmap.js';
import { OpenSessions } from './commands/open-close.js';
import { ConfigSpace, type PresentNode } from './config-space.js';
import { EventQueue } from './events/eventq.js';
import { refuse } from './ioctls/ioctl-request.js';
import { DeviceObjects, type ObjectTable } from './memory/object-table.js';
import { type MmapMode, SharedMemory } from './memory/shared-memory.js';
import { defaultPolicy, type Policy } from './policy.js';
import { COMMANDQ, ioctlCommand, mmapCommand } from './protocol.js';
import type { Session } from './session.js';
import type { RequestSupport, SessionContext } from './session-context.js';
import type { ObjectTransport, SharedMemoryTransport } from './transport.js';

/** How one node is served. */
export interface MediaDeviceOptions {
  /** Bytes of SHM region 0. 0: the device offers none. */
  readonly sharedMemorySize: number;
  readonly mmap: MmapMode;
  /** What the guest may do. Absent: everything that virtio-media carries. */
  readonly policy?: Policy;
  /** Whether the guest may use its own pages as buffers (SHARED_PAGES). */
  readonly sharedPages?: boolean;
  /** The objects of all nodes of this process. Absent: the device offers no objects. */
  readonly objects?: ObjectTable;
  /** Whether the guest gets an ERROR event when its session is lost. */
  readonly errorEvents?: boolean;
  /** Media requests. Absent: the node does not take them, or they are turned off. */
  readonly requests?: RequestSupport;
  /** What the node is now. Absent: it stays what it was when the device was made. */
  readonly present?: PresentNode;
  /** The name that the guest sees, whatever the node is. Absent: the node's own. */
  readonly card?: string;
  /** Shared by all devices of this event loop: it limits the work of one turn. Absent: the device has its own. */
  readonly turn?: Turn;
}

/** One node, served to one VM at a time. The transport calls it on the event loop, and no method blocks. */
export class MediaDevice implements CommandHandlers {
  /** Bytes of SHM region 0. 0: none. */
  readonly sharedMemorySize: number;

  readonly #optionalIoctls: OptionalIoctls;
  readonly #policy: Policy;
  readonly #sessions: OpenSessions;
  readonly #account: Account;
  readonly #turn: Turn;
  readonly #events: EventQueue;
  readonly #commandq: Commandq;
  readonly #flat = new FlatCommands();
  #context: SessionContext | null = null;
  readonly #running = new Set<number>();
  readonly #config: ConfigSpace;

  constructor(
    private readonly node: HostNode,
    description: NodeDescription,
    private readonly options: MediaDeviceOptions,
  ) {
    this.#config = new ConfigSpace(description, options.present, options.card);
    this.#account = Account.of(node);
    this.sharedMemorySize = options.sharedMemorySize;
    this.#policy = options.policy ?? defaultPolicy;
    this.#sessions = new OpenSessions(this.#account, this.#policy.maxSessions, this.#flat);
    this.#turn = options.turn ?? new Turn();
    this.#events = new EventQueue(this.#turn);
    this.#optionalIoctls = {
      expbuf: options.objects !== undefined,
      requestHandles: options.requests?.mode === 'handles',
    };
    // Commands are taken only while both queues run: their events need the eventq, and the VMM maps nothing before.
    const isReady = () => this.#events.running;
    this.#commandq = new Commandq(this.#turn, this.#optionalIoctls, this, isReady, this.#flat);
  }

  /** How many sessions are open. */
  get sessions(): number {
    return this.#sessions.count;
  }

  // The transport calls these.

  /** The configuration space, 40 bytes. */
  get config(): Uint8Array {
    return this.#config.read();
  }

  /** Called before `config` is read. Resolves when it is what the node is now. null: it is. */
  refreshConfig(): Promise<void> | null {
    return this.#config.refresh();
  }

  /** A VMM has connected. `memory` is its guest memory. */
  connected(memory: GuestMemory, transport: SharedMemoryTransport & ObjectTransport): void {
    const { sharedPages = false, errorEvents = false, requests = null, objects: table } = this.options;
    const shared = new SharedMemory(transport, this.options.mmap, this.#turn);
    if (shared.usable && shared.prefers !== transport.prefers)
      log.warn(`this VMM is better served with --mmap ${transport.prefers}: see docs/vmm.md`);
    this.#context = {
      node: this.node,
      told: () => this.#config.told,
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

  /** DMABUF of an exported object, for another device of the VM. The caller must not close it. null: unknown UUID. */
  object(uuid: Uint8Array): number | null {
    return this.#context?.objects?.find(uuid) ?? null;
  }

  /** The queue runs. Commands that are in the ring already are taken, once both queues run. */
  queueStarted(index: number, queue: Queue): void {
    this.#running.add(index);
    this.#config.started();
    if (index === COMMANDQ) this.#commandq.start(queue);
    else this.#events.start(queue);
    this.#commandq.take();
  }

  /** The driver has made chains available. */
  queueKicked(index: number): void {
    if (index === COMMANDQ) this.#commandq.take();
    else this.#events.kicked();
  }

  /** The queue stops. The device does not touch it after this call; waiting commands get EINTR first. */
  queueStopped(index: number): void {
    this.#running.delete(index);
    if (this.#running.size === 0) this.#config.stopped();
    if (index === COMMANDQ) return this.#commandq.stop();
    this.#commandq.pause();
    this.#events.stop();
  }

  /** The guest reset the device: all sessions end. */
  reset(): void {
    const fields = { device: this.node.path, sessions: this.#sessions.count };
    infoLimited(`reset ${this.node.path}`, 'the guest reset the device', fields);
    this.#config.reset();
    this.#sessions.endAll();
    this.#events.reset();
    this.#context?.shared.reset();
  }

  /** The VMM has left: all sessions end, and no command is answered any more. */
  disconnected(): void {
    this.#sessions.endAll();
    this.#commandq.close();
    const shared = this.#context?.shared;
    // The hardware may write to the arena until the last file is closed.
    this.closed()
      .then(() => shared?.close())
      .catch((error: unknown) => errorLimited('arena', 'the shared memory of a VMM cannot be closed', error));
  }

  /** How many files of this connection are being closed. */
  get closing(): number {
    return this.#sessions.closing;
  }

  /** Resolves when every file of an ended session is closed or its close has failed. Never rejects. */
  async closed(): Promise<void> {
    await this.#sessions.closed();
  }

  // One function for each command of the commandq.

  open(command: Command): void {
    this.#config.used();
    this.#sessions.open(command, this.#context);
  }

  close(command: Command): Promise<void> {
    return this.#sessions.close(command);
  }

  ioctl(command: Command): void {
    const { sessionId, code } = ioctlCommand.read(command.request);
    const body = command.request.subarray(ioctlCommand.size);
    const request = readIoctl(command, code, body, this.#optionalIoctls);
    if (isFailure(request)) return command.answer({ status: request.errno });
    const session = this.#sessions.find(sessionId);
    if (!session) return command.answer(refuse(request, Errno.EBADF));
    if (session.isDegraded) return command.answer(refuse(request, Errno.ETIMEDOUT));
    command.onLate((errno) => refuse(request, errno), null);
    this.#enqueue(session, command, () => runIoctl(session, request));
  }

  mmap(command: Command): void {
    const session = this.#sessions.find(mmapCommand.read(command.request).sessionId);
    if (!session) return command.answer({ status: Errno.EBADF });
    if (session.isDegraded) return command.answer({ status: Errno.ETIMEDOUT });
    this.#enqueue(session, command, () => execute(session, command, command, mapping));
  }

  munmap(command: Command): void {
    const shared = this.#context?.shared;
    command.answer(shared ? munmap(shared, command) : { status: Errno.EINVAL });
    // Which buffers are mapped is a part of a frame plan.
    this.#sessions.refresh();
  }

  /** Adds `run` to the session's sequence. If the command is answered before, the sequence drops it and its memory. */
  #enqueue(session: Session, command: Command, run: () => Promise<void>): void {
    const task = guard(command, run);
    command.waits(session.sequence, task);
    session.sequence.add(task);
  }
}
