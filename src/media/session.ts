/**
 * A guest's session: one open file of the host node, its queues and its sequence of tasks.
 *
 * A session does one thing at a time: it runs a command, or it drains the events and buffers that the node has ready.
 * Because of this, the answer of a command goes out before the events that the command causes. It does not matter
 * on which thread the calls ran.
 */
import { errorLimited, warnLimited } from '../log.js';
import { type NodeCall, NodeEvents } from '../native.js';
import { HELD } from '../native-ring.js';
import { encoded } from '../struct.js';
import { Ioctl } from '../v4l2/ioctls.js';
import { Memory, requestBuffers, streamType } from '../v4l2/layout.js';
import type { Answer } from './commands/command.js';
import { LateResult } from './commands/late-result.js';
import { Sequence, type Task } from './commands/sequence.js';
import { SgBudget } from './memory/sg-budget.js';
import { backings } from './queues/backings.js';
import { type BufferQueue, bytesOf } from './queues/buffer-queue.js';
import { FramePlans } from './queues/frame-plan.js';
import { ImplicitRequests } from './queues/implicit-requests.js';
import { MmapOffsets } from './queues/mmap-offsets.js';
import { RequestHandles } from './queues/request-handles.js';
import type { SessionContext } from './session-context.js';
import { SessionFile } from './session-file.js';

/** Made by OPEN. It ends with CLOSE, a reset of the device or the end of the connection. */
export class Session {
  readonly #queues = new Map<number, BufferQueue>();
  readonly mmapOffsets = new MmapOffsets();
  /** Events that the guest has subscribed to, each as `type:id`. */
  readonly subscriptions = new Set<string>();
  #isGone = false;
  #isDegraded = false;
  #isLossReported = false;
  #claimed = 0;
  /** Limit for SG lists that are kept with its buffers. */
  readonly lists: SgBudget;

  /** The result of a command that was answered before its ioctl ended. */
  readonly late = new LateResult((task) => this.sequence.add(task));

  /** Implicit requests. null: the node needs none, or the guest makes its own requests. */
  readonly requests: ImplicitRequests | null;
  /** Request handles of the guest. null: the guest cannot make media requests. */
  readonly handles: RequestHandles | null;

  readonly file: SessionFile;
  readonly plans = new FramePlans(this);
  /** The tasks of the session, one after the other. When no task waits, a drain that is wanted runs. */
  readonly sequence: Sequence;
  #drainWanted = false;
  #armed: number = NodeEvents.PRI;
  #closing: Promise<void> | null = null;
  /** The eventq calls it when a descriptor has become free. Always the same function, so that `forget` finds it. */
  readonly resume = (): void => this.wantDrain();

  /** `id`: not 0. `drain` dequeues everything that the node has ready; it runs as a task of the session. */
  constructor(
    readonly id: number,
    readonly context: SessionContext,
    private readonly drain: (session: Session) => Promise<void>,
  ) {
    this.lists = SgBudget.ofSession(context.lists);
    const ready = (events: number) => this.#ready(events);
    this.file = new SessionFile(context, ready, () => this.lost());
    this.sequence = new Sequence(() => this.#drainTask(), id, this.plans);
    const caller = { call: (call: NodeCall) => this.call(call) };
    const support = context.requests;
    this.requests = support?.mode === 'auto' ? new ImplicitRequests(caller, support.media) : null;
    this.handles = support?.mode === 'handles' ? new RequestHandles(caller, support.media) : null;
  }

  /** The node is unplugged or the session closes: commands get ENODEV, queued buffers go back with the ERROR flag. */
  get gone(): boolean {
    return this.#isGone;
  }

  /** A command was answered ETIMEDOUT before its ioctl ended. Until it ends, all commands get ETIMEDOUT at once. */
  get isDegraded(): boolean {
    return this.#isDegraded;
  }

  degrade(isDegraded: boolean): void {
    this.#isDegraded = isDegraded;
  }

  /** The ERROR event of the lost session was sent. */
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

  /** Bytes of all buffers that the session will have after the current allocation. 0: no allocation is under way. */
  claim(bytes: number): void {
    this.#claimed = bytes;
  }

  /** Opens the file of the session. Resolves to 0 or an errno. */
  open(): Promise<number> {
    return this.file.open();
  }

  /** SessionFile.call. */
  call(call: NodeCall): Promise<number> {
    return this.file.call(call);
  }

  /** Runs a pointer-free ioctl on the lane. The kernel's answer replaces `payload`. Resolves to 0 or an errno. */
  ioctl(nr: number, payload: Uint8Array): Promise<number> {
    return this.call({ kind: 'ioctl', nr, payload });
  }

  /** Keeps the result of a command that was answered before. `request`: the command as the guest sent it. */
  async keep(request: Buffer, answer: Answer): Promise<void> {
    await this.late.keep(request, answer);
    if (this.closing) await this.late.drop();
  }

  /**
   * Resolves when the driver has processed all events that were sent, or after `limit` milliseconds (EVENT_BARRIER_MS
   * at most). Drops the events of this session that wait for a descriptor and that `isStale` selects. So no stale
   * event follows the answer.
   */
  async quiet(limit: number, isStale: (event: Buffer) => boolean): Promise<void> {
    const { events } = this.context;
    await events.barrier(limit);
    events.discard(this.id, isStale);
  }

  /** A command that was answered on a thread has ended. The file is the loop's. `answer` is called in a task. */
  cameLate(request: Buffer, answer: () => Answer): void {
    this.sequence.first(async () => {
      this.degrade(false);
      await this.keep(request, answer());
    });
  }

  /** Every command has to be compared with a late result, or be refused. */
  get isGuarded(): boolean {
    return !this.late.isEmpty || this.#isDegraded || this.#isGone;
  }

  /** Drains as soon as the session is idle. */
  wantDrain(): void {
    this.#drainWanted = true;
    this.sequence.next();
  }

  /** The node was unplugged. Calling it twice is harmless. */
  lost(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    const { path } = this.context.node;
    warnLimited(`gone ${path}`, 'the device was unplugged under a session of the guest', { device: path });
    this.wantDrain();
  }

  /**
   * Arms the watcher for exactly the queues that stream and have buffers. `except` counts as stopped, because its
   * buffers will be freed next: if the watcher polls a queue without buffers, vb2 starts read() emulation.
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

  /** Arms the watcher again and drains once, because the edge may have passed already. */
  async rearm(): Promise<void> {
    this.#armed = 0;
    await this.arm();
    this.wantDrain();
  }

  /** Forgets a queue whose buffers the kernel has freed. A slot of SHM region 0 stays while the guest has it mapped. */
  forget(queue: BufferQueue): void {
    for (const index of [...queue.buffers.keys()]) this.forgetBuffer(queue, index);
    this.stopped(queue);
    if (this.#queues.get(queue.type) === queue) this.#queues.delete(queue.type);
  }

  /** STREAMOFF has succeeded, or the buffers are gone: the driver has no buffer of the queue, and no implicit request of it. */
  stopped(queue: BufferQueue): void {
    queue.stopped();
    if (!queue.isCapture) this.requests?.stopped();
  }

  /** Closes the file and frees everything. Resolves when the kernel has closed the file. Twice is harmless. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.context.events.forget(this.resume);
    // Commands that still wait are answered ENODEV when their turn comes.
    this.#isGone = true;
    for (const queue of this.queues.values())
      if (backings[queue.backing].mapped) this.#releaseQueue(queue).catch(logFault);
    try {
      this.late.drop().catch(logFault);
      this.requests?.close();
      this.handles?.closeAll();
    } finally {
      // Slots are freed after the close, because the hardware may write to them until then.
      await this.file.close();
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

  /** A mapping of the node's memory keeps the file open, so the queue is freed and unmapped before the close. */
  async #releaseQueue({ type, buffers }: BufferQueue): Promise<void> {
    const none = encoded(requestBuffers, { type, memory: Memory.MMAP });
    const done = [
      // If the watcher polls a queue without buffers, vb2 starts read() emulation, and the node stays busy.
      this.file.finalCall({ kind: 'watch', events: NodeEvents.PRI }),
      this.file.finalCall({ kind: 'ioctl', nr: Ioctl.STREAMOFF, payload: streamType.encode({ type }) }),
      this.file.finalCall({ kind: 'ioctl', nr: Ioctl.REQBUFS, payload: none }),
    ];
    for (const { host } of [...buffers.values()].flatMap(({ planes }) => planes)) host?.close();
    await Promise.all(done);
  }

  /** Bytes of its buffers. An allocation that is under way counts. */
  get bufferBytes(): number {
    return Math.max(this.#claimed, bytesOf([...this.queues.values()]));
  }

  /** Bytes of buffers that the session may have in all: its own limit, or less if the node's limit leaves less. */
  get allowance(): number {
    const { policy, account } = this.context;
    const others = account.bufferBytes - this.bufferBytes;
    return Math.min(policy.maxBufferBytes, policy.maxDeviceBytes - others);
  }

  /** close() was called. */
  get closing(): boolean {
    return this.#closing !== null;
  }

  /** Frees one buffer's mmap offsets, mappings, pages, objects and slots. An index without a buffer is ignored. */
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
    if (events & HELD) return this.sequence.held();
    // ERR alone means nothing, because poll reports it for a queue that does not stream. HUP: the node is unplugged.
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
  errorLimited('queue', 'a queue cannot be given up', error);
}
