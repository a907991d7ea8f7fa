/** What a session tells of its queues: what came back from each, and the format of its buffers. */
import { isCapture } from '../v4l2/buffer-type.js';
import { FrameCounters } from '../v4l2/frame-counters.js';
import type { HostBuffer } from './queues/video-buffer.js';
import type { Counted, Totals } from './totals.js';

export class QueueStatistics {
  readonly counters = new FrameCounters();
  /** The struct v4l2_format (208 bytes) for which the buffers were made. null: none were. */
  format: Uint8Array | null = null;

  /** The event of a frame is sent. */
  count({ buffer, planes }: HostBuffer): void {
    this.counters.count(buffer, planes);
  }
}

/** The queues of one session, by V4L2_BUF_TYPE_*. They stay when the buffers are freed. */
export class Statistics implements Counted {
  readonly #queues = new Map<number, QueueStatistics>();

  of(type: number): QueueStatistics {
    const known = this.#queues.get(type) ?? new QueueStatistics();
    this.#queues.set(type, known);
    return known;
  }

  get queues(): ReadonlyMap<number, QueueStatistics> {
    return this.#queues;
  }

  /** Frames of CAPTURE queues. */
  get captured(): number {
    let frames = 0;
    for (const [type, { counters }] of this.#queues) if (isCapture(type)) frames += counters.counts.frames;
    return frames;
  }

  get totals(): Totals {
    const frames = [...this.#queues].map(([type, { counters }]) => [type, counters.counts] as const);
    return { frames: new Map(frames), commands: new Map() };
  }
}
