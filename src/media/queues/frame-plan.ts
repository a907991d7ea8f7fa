/**
 * Frame plans: what threads may do with the buffers of a streaming queue without the loop (addon/frame_plan.h). While no
 * task of the session runs, QBUF of its buffers is a flat command, and the watcher dequeues frames and V4L2 events. The loop makes the plan before it lets the file go, and takes its result when it has the file again, so that
 * every task finds the record of the queue as if the loop had done all of it.
 */
import type { Gate } from '../commands/sequence.js';
import type { SessionContext } from '../session-context.js';
import type { SessionFile } from '../session-file.js';
import { type Backing, backings } from './backings.js';
import type { BufferQueue } from './buffer-queue.js';
import { guestFlags } from './buffer-record.js';

/** Backings whose frames nobody copies, and whose memory the bridge has chosen. */
const planned: ReadonlySet<Backing> = new Set<Backing>(['userptr', 'direct', 'unmapped']);
/** FramePlan::kMaxBuffers and kMaxQueues of the addon. */
const MAX_BUFFERS = 64;
const MAX_QUEUES = 2;
const HALF = 2 ** 32;

/** A session, as far as its plans depend on it. */
export interface PlannedSession {
  readonly id: number;
  readonly context: SessionContext;
  readonly file: SessionFile;
  readonly queues: ReadonlyMap<number, BufferQueue>;
  readonly subscriptions: ReadonlySet<string>;
  /** Not null: media requests are made, so each buffer needs a decision. */
  readonly requests: object | null;
  readonly handles: object | null;
  /** Every command has to be looked at: a late result is kept, or the node is gone. */
  readonly isGuarded: boolean;
}

/** The gate of one session: what happens when the loop lets its file go, and when it has it again. */
export class FramePlans implements Gate {
  /** The queues of the plan that the threads have. */
  #queues: readonly BufferQueue[] = [];

  constructor(private readonly session: PlannedSession) {}

  /** Whether QBUF of the session would be a flat command if nothing else were to do. */
  get isPossible(): boolean {
    return queuesOf(this.session).length > 0;
  }

  hold(): boolean {
    if (!this.session.file.hold()) return false;
    this.#takeBack();
    return true;
  }

  release(): void {
    if (this.session.isGuarded) return;
    this.#lend();
    this.session.file.release();
  }

  #lend(): void {
    const { file, context, id, subscriptions } = this.session;
    const queues = queuesOf(this.session);
    const events = context.events.shared;
    if (queues.length === 0 || !events) return;
    const numbers = [id, subscriptions.size > 0 ? 1 : 0, queues.length];
    const regions: object[] = [];
    for (const queue of queues) describe(this.session, queue, numbers, regions);
    file.plan(events, Uint32Array.from(numbers), regions);
    this.#queues = queues;
  }

  #takeBack(): void {
    const queues = this.#queues;
    if (queues.length === 0) return;
    this.#queues = [];
    const result = this.session.file.takePlan();
    if (!result) return;
    const [states, untold] = result;
    for (const [n, queue] of queues.entries()) queue.adopt(...states[n]!);
    for (const event of untold) this.session.context.events.sendUntold(event);
  }
}

/**
 * The queues of the session that can have a plan, CAPTURE last: all that stream. Empty: none streams, or something has to
 * be decided for each buffer.
 */
function queuesOf({ queues, requests, handles }: PlannedSession): BufferQueue[] {
  const streaming = [...queues.values()].filter((queue) => queue.isArmed);
  if (requests || handles || streaming.length > MAX_QUEUES) return [];
  const others = [...queues.values()].filter((queue) => !queue.isArmed && queue.streaming);
  if (others.length > 0 || !streaming.every(isPlain)) return [];
  return streaming.sort((a, b) => Number(a.isCapture) - Number(b.isCapture));
}

function isPlain({ isSettled, backing, buffers }: BufferQueue): boolean {
  return isSettled && planned.has(backing) && Math.max(...buffers.keys()) < MAX_BUFFERS;
}

/** The buffers of a queue, packed as SharedFile.plan wants them. */
function describe(
  { context }: PlannedSession,
  queue: BufferQueue,
  numbers: number[],
  regions: object[],
): void {
  const { backing, buffers, queued } = queue;
  const count = Math.max(-1, ...buffers.keys()) + 1;
  numbers.push(queue.type, queue.memory, backings[backing].host, guestFlags(queue), count);
  for (let index = 0; index < count; index++) {
    const planes = buffers.get(index)?.planes ?? [];
    numbers.push(planes.some(({ slot }) => (slot?.references ?? 0) > 0) ? 1 : 0, planes.length);
    for (const { slot, length, mmapOffset } of planes) {
      const memory = backing === 'userptr' && slot ? context.shared.memory(slot) : null;
      const offset = memory?.offset ?? 0;
      if (memory && !regions.includes(memory.region)) regions.push(memory.region);
      const region = memory ? regions.indexOf(memory.region) + 1 : 0;
      numbers.push(memory?.length ?? length, mmapOffset, region, offset % HALF, Math.floor(offset / HALF));
    }
  }
  numbers.push(queued.size, ...queued);
}
