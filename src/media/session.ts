/**
 * A guest's session: one open file on the host node, its queues and its turn.
 *
 * A session does one thing at a time: a command, or a drain of what the node has ready. That is what keeps
 * an answer ahead of the events that the command causes, whichever thread the calls ran on.
 */
import { Errno } from '../errno.js';
import { log, warnLimited } from '../log.js';
import { type NodeCall, NodeEvents } from '../native.js';
import { Ioctl } from '../v4l2/ioctls.js';
import { Memory, requestBuffers, streamType } from '../v4l2/layout.js';
import type { OpenFile } from '../v4l2/node.js';
import type { Answer } from './commands/command.js';
import { LateResult } from './commands/late-result.js';
import { Sequence, type Task } from './commands/sequence.js';
import { SgBudget } from './memory/sg-budget.js';
import { backings } from './queues/backings.js';
import { type BufferQueue, bytesOf } from './queues/buffer-queue.js';
import { ImplicitRequests } from './queues/implicit-requests.js';
import { MmapOffsets } from './queues/mmap-offsets.js';
import { RequestHandles } from './queues/request-handles.js';
import type { SessionContext } from './session-context.js';

export class Session {
  readonly #queues = new Map<number, BufferQueue>();
  readonly mmapOffsets = new MmapOffsets();
  /** (type, id) pairs that the guest has subscribed to. */
  readonly subscriptions = new Set<string>();
  #isGone = false;
  #isDegraded = false;
  #isLossReported = false;
  #claimed = 0;
  /** SG lists that are kept with its buffers. */
  readonly lists: SgBudget;

  /** What a command of it did that was answered before. */
  readonly late = new LateResult((task) => this.sequence.add(task));

  /** Requests that the guest does not know of; null: the node needs none, or the guest makes its own. */
  readonly requests: ImplicitRequests | null;
  /** Requests that the guest makes; null: it cannot. */
  readonly handles: RequestHandles | null;

  readonly #file: OpenFile;
  /** What it does, one after the other; a drain where nothing else waits. */
  readonly sequence: Sequence;
  #drainWanted = false;
  #armed: number = NodeEvents.PRI;
  #closing: Promise<void> | null = null;
  /** Called by eventq when a descriptor has become free: stable, so that it can be withdrawn. */
  readonly resume = (): void => this.wantDrain();

  /** `drain`: takes everything from the node that is ready, in the session's turn. */
  constructor(
    readonly id: number,
    readonly context: SessionContext,
    private readonly drain: (session: Session) => Promise<void>,
  ) {
    this.sequence = new Sequence(() => this.#drainTask(), id);
    this.lists = SgBudget.ofSession(context.lists);
    this.#file = context.node.open((events) => this.#ready(events));
    const caller = { call: (call: NodeCall) => this.call(call) };
    const support = context.requests;
    this.requests = support?.mode === 'auto' ? new ImplicitRequests(caller, support.media) : null;
    this.handles = support?.mode === 'handles' ? new RequestHandles(caller, support.media) : null;
  }

  /** The node is unplugged: every command answers ENODEV, queued buffers go back with the ERROR flag. */
  get gone(): boolean {
    return this.#isGone;
  }

  /** A command was answered before its ioctl ended. Until the ioctl ends, commands are answered ETIMEDOUT at once. */
  get isDegraded(): boolean {
    return this.#isDegraded;
  }

  degrade(isDegraded: boolean): void {
    this.#isDegraded = isDegraded;
  }

  /** The guest was told that the session is lost. */
  get isLossReported(): boolean {
    return this.#isLossReported;
  }

  lossReported(): void {
    this.#isLossReported = true;
  }

  /** By buffer type. */
  get queues(): ReadonlyMap<number, BufferQueue> {
    return this.#queues;
  }

  addQueue(queue: BufferQueue): void {
    this.#queues.set(queue.type, queue);
  }

  /** Bytes of all buffers that the session will have when an allocation under way has ended; 0: none is under way. */
  claim(bytes: number): void {
    this.#claimed = bytes;
  }

  /** Opens the file of the session. Resolves to an errno. */
  open(): Promise<number> {
    return this.#file.open();
  }

  /** Runs a call on the session's file; notices when the node is gone. */
  async call(call: NodeCall): Promise<number> {
    const errno = await this.#file.call(call);
    if (errno === Errno.ENODEV) this.lost();
    if (errno === Errno.EBUSY) this.#report(call);
    return errno;
  }

  /** Requests are busy by themselves, and so is a node where the daemon has buffers: another program has to do with neither. */
  #report({ kind }: NodeCall): void {
    const { node, account } = this.context;
    if ((kind === 'ioctl' || kind === 'controls') && !account.hasBuffers) node.reportBusy();
  }

  /** A pointer-free ioctl on the lane; the payload comes back in place. */
  ioctl(nr: number, payload: Uint8Array): Promise<number> {
    return this.call({ kind: 'ioctl', nr, payload });
  }

  /** A command was answered before its result was there. */
  async keep(request: Buffer, answer: Answer): Promise<void> {
    await this.late.keep(request, answer);
    if (this.closing) await this.late.drop();
  }

  /** What was sent is with the driver, and of what `isStale` nothing comes any more: the answer may be given. */
  async quiet(limit: number, isStale: (event: Buffer) => boolean): Promise<void> {
    const { events } = this.context;
    await events.barrier(limit);
    events.discard(this.id, isStale);
  }

  /** Asks for a drain when the session is next idle. */
  wantDrain(): void {
    this.#drainWanted = true;
    this.sequence.next();
  }

  /** The node was unplugged. */
  lost(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const { path } = this.context.node;
    warnLimited(`gone ${path}`, 'the device was unplugged under a session of the guest', { device: path });
    this.wantDrain();
  }

  /**
   * Arms the watcher for exactly the queues that have buffers and stream. `except` is treated as stopped:
   * its buffers are about to go (an armed queue without buffers makes vb2 start read() emulation).
   */
  async arm(except?: BufferQueue): Promise<void> {
    const armed = [...this.queues.values()].filter((queue) => queue.isArmed && queue !== except);
    const events =
      NodeEvents.PRI |
      (armed.some((queue) => queue.isCapture) ? NodeEvents.IN : 0) |
      (armed.some((queue) => !queue.isCapture) ? NodeEvents.OUT : 0);
    if (events === this.#armed || this.#isGone) return;
    this.#armed = events;
    await this.call({ kind: 'watch', events });
  }

  /** Arms again and looks at everything once: the edge may have passed. */
  async rearm(): Promise<void> {
    this.#armed = 0;
    await this.arm();
    this.wantDrain();
  }

  /** Forgets buffers of a queue that the kernel has freed; slots stay while the guest has them mapped. */
  forget(queue: BufferQueue): void {
    for (const index of [...queue.buffers.keys()]) this.forgetBuffer(queue, index);
    queue.stopped();
    if (!queue.isCapture) this.requests?.stopped();
    if (this.#queues.get(queue.type) === queue) this.#queues.delete(queue.type);
  }

  /** Closes the file and lets go of everything; resolves when the kernel has closed it. Twice is harmless. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.context.events.forget(this.resume);
    // What still waits is answered ENODEV, in its turn.
    this.#isGone = true;
    for (const queue of this.queues.values())
      if (backings[queue.backing].mapped) this.#releaseQueue(queue).catch(logFault);
    try {
      this.late.drop().catch(logFault);
      this.requests?.close();
      this.handles?.closeAll();
    } finally {
      // Slots only afterwards: until then the hardware may still write to them.
      await this.#file.close();
    }
    await this.sequence.over();
    for (const queue of [...this.queues.values()]) {
      try {
        this.forget(queue);
      } catch (error) {
        logFault(error);
      }
    }
  }

  /** A mapping of the node pins its open file: the queue is given up first, so that closing frees the node. */
  async #releaseQueue({ type, buffers }: BufferQueue): Promise<void> {
    const none = requestBuffers.encode({
      ...requestBuffers.read(Buffer.alloc(20)),
      type,
      memory: Memory.MMAP,
    });
    const done = [
      // An armed queue without buffers starts read() emulation: the node would stay busy with the mapping.
      this.#file.call({ kind: 'watch', events: NodeEvents.PRI }),
      this.#file.ioctl(Ioctl.STREAMOFF, streamType.encode({ type })),
      this.#file.ioctl(Ioctl.REQBUFS, none),
    ];
    for (const { host } of [...buffers.values()].flatMap(({ planes }) => planes)) host?.close();
    await Promise.all(done);
  }

  /** Bytes of its buffers, those included that are being made. */
  get bufferBytes(): number {
    return Math.max(this.#claimed, bytesOf([...this.queues.values()]));
  }

  /** Bytes of buffers that it may have: what the policy leaves it, beside the other sessions of the device. */
  get allowance(): number {
    const { policy, account } = this.context;
    const others = account.bufferBytes - this.bufferBytes;
    return Math.min(policy.maxBufferBytes, policy.maxDeviceBytes - others);
  }

  get closing(): boolean {
    return this.#closing !== null;
  }

  /** Lets go of one buffer's mmap offsets, mappings and slots. */
  forgetBuffer(queue: BufferQueue, index: number): void {
    const buffer = queue.buffers.get(index);
    if (!buffer) return;
    queue.remove(index);
    this.mmapOffsets.remove(buffer);
    for (const { slot, host, pages, exported } of buffer.planes) {
      host?.close();
      pages?.memory.release();
      if (exported) this.context.objects?.withdraw(exported);
      if (slot) this.context.shared.release(slot);
    }
  }

  #ready(events: number): void {
    // ERR alone says nothing (a queue that does not stream answers it); with HUP the node is unplugged.
    if (events & NodeEvents.HUP) this.lost();
    this.wantDrain();
  }

  #drainTask(): Task | null {
    if (!this.#drainWanted || this.#closing) return null;
    this.#drainWanted = false;
    return () => this.drain(this);
  }
}

function logFault(error: unknown): void {
  log.error('a queue cannot be given up', { error: stackOf(error) });
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
