/**
 * Frame plans: what threads may do with the buffers of a streaming queue without the loop (addon/frame_plan.h). While no
 * task of the session runs, QBUF of its buffers is a flat command, and the watcher dequeues frames and sends their
 * events. The loop makes the plan before it lets the file go, and takes its result when it has the file again, so that
 * every task finds the record of the queue as if the loop had done all of it.
 */
import type { PlanResult } from '../../native-ring.js';
import type { Gate } from '../commands/sequence.js';
import type { SessionContext } from '../session-context.js';
import type { SessionFile } from '../session-file.js';
import { type Backing, backings } from './backings.js';
import type { BufferQueue } from './buffer-queue.js';
import { guestFlags } from './buffer-record.js';

/** Backings whose frames nobody copies, and whose memory the bridge has chosen. */
const planned: ReadonlySet<Backing> = new Set<Backing>(['userptr', 'direct', 'unmapped']);
/** FramePlan::kMaxBuffers of the addon. */
const MAX_BUFFERS = 64;
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
  /** The queue of the plan that the threads have. */
  #queue: BufferQueue | null = null;

  constructor(private readonly session: PlannedSession) {}

  /** Whether QBUF of the session would be a flat command if nothing else were to do. */
  get isPossible(): boolean {
    return queueOf(this.session) !== null;
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
    const { file, context, id } = this.session;
    const queue = queueOf(this.session);
    const events = context.events.shared;
    if (!queue || !events) return;
    const { numbers, regions } = described(this.session, queue);
    const header = [id, queue.type, queue.memory, backings[queue.backing].host, guestFlags(queue)];
    file.plan(events, Uint32Array.from([...header, ...numbers]), regions, Uint8Array.from(queue.queued));
    this.#queue = queue;
  }

  #takeBack(): void {
    const queue = this.#queue;
    if (!queue) return;
    this.#queue = null;
    const result = this.session.file.takePlan();
    if (result) this.#adopt(queue, result);
  }

  #adopt(queue: BufferQueue, [queued, lastFrame, untold]: PlanResult): void {
    queue.adopt(queued, lastFrame);
    for (const event of untold) this.session.context.events.sendUntold(event);
  }
}

/** The queue of the session that can have a plan. null: something has to be decided for each of its buffers. */
function queueOf({ queues, subscriptions, requests, handles }: PlannedSession): BufferQueue | null {
  const [queue] = queues.values();
  if (!queue || queues.size > 1 || subscriptions.size > 0 || requests || handles) return null;
  return queue.isArmed && queue.isSettled && planned.has(queue.backing) ? queue : null;
}

/** The buffers of a queue, packed as SharedFile.plan wants them. */
function described({ context }: PlannedSession, { backing, buffers }: BufferQueue) {
  const regions: object[] = [];
  const count = Math.min(MAX_BUFFERS, Math.max(-1, ...buffers.keys()) + 1);
  const numbers = [count];
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
  return { numbers, regions };
}
