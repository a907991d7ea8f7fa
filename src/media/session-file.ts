/** The open file of a session: calls on its lane, and what their errnos tell of the node. */
import { Errno } from '../errno.js';
import { type NodeCall, NodeEvents, type NodeFile } from '../native.js';
import type { NativeRing, PlanResult } from '../native-ring.js';
import type { CommandTable } from '../v4l2/command-table.js';
import type { IoctlRow } from '../v4l2/ioctls.js';
import type { OpenFile } from '../v4l2/node.js';
import type { Gate } from './commands/sequence.js';
import type { SessionContext } from './session-context.js';

export class SessionFile implements Gate {
  readonly #file: OpenFile;

  /** `onReady`: epoll events of the file, and HELD. `onLost`: the node is unregistered. */
  constructor(
    private readonly context: SessionContext,
    onReady: (events: number) => void,
    private readonly onLost: () => void,
  ) {
    this.#file = context.node.open(onReady);
  }

  /** Opens the file. Resolves to 0 or an errno. */
  open(): Promise<number> {
    return this.#file.open(this.context.told());
  }

  /** Closes the file after all submitted calls. Resolves when the kernel has closed it. */
  close(): Promise<void> {
    return this.#file.close();
  }

  /** Runs a call on the lane. Resolves to 0 or an errno. */
  async call(call: NodeCall): Promise<number> {
    const errno = await this.#file.call(call);
    const mayBeBusy = call.kind === 'ioctl' || call.kind === 'controls';
    if (errno === Errno.ENODEV || (errno === Errno.EBUSY && mayBeBusy)) await this.failed(errno);
    return errno;
  }

  /** Runs a call of the session's end: nobody wants to know what its errno tells. */
  finalCall(call: NodeCall): Promise<number> {
    return this.#file.call(call);
  }

  /** An ioctl has failed with ENODEV, which alone does not end the session, or with EBUSY. */
  async failed(errno: number): Promise<void> {
    if (errno === Errno.ENODEV && (await this.#isHungUp())) this.onLost();
    if (errno === Errno.EBUSY) this.#reportBusy();
  }

  // The gate: a thread of the commandq may use the file instead of the loop.

  hold(): boolean {
    return this.#shared?.hold() ?? true;
  }

  release(): void {
    this.#shared?.release();
  }

  /** SharedFile.plan. The file is the loop's. */
  plan(events: NativeRing, numbers: Uint32Array, regions: readonly object[]): void {
    this.#shared?.plan(events, new Uint8Array(numbers.buffer), regions);
  }

  /** SharedFile.takePlan. The file is the loop's. */
  takePlan(): PlanResult | undefined {
    return this.#shared?.takePlan();
  }

  /** Lets the threads of the commandq run flat commands of the session. False: the file cannot be shared. */
  share(table: CommandTable, session: number, isFree: (row: IoctlRow) => boolean): boolean {
    const file = this.#shared;
    if (file) table.add(session, file, isFree);
    return file !== undefined;
  }

  /** undefined: the fake of a test, which the addon does not know. */
  get #shared(): NodeFile | undefined {
    return this.#file.native;
  }

  /**
   * Whether the node is unregistered. A driver may answer ENODEV for a part that is asleep (a sensor, an endpoint),
   * while its node is still there. The watcher reports a hang-up too, but not if nothing wakes it.
   */
  async #isHungUp(): Promise<boolean> {
    const poll: NodeCall & { kind: 'poll' } = { kind: 'poll' };
    return (await this.#file.call(poll)) === 0 && ((poll.ready ?? 0) & NodeEvents.HUP) !== 0;
  }

  /** Logs who else has buffers, unless EBUSY has another reason: a media request, or buffers of this daemon. */
  #reportBusy(): void {
    const { node, account } = this.context;
    if (!account.hasBuffers) node.reportBusy();
  }
}
