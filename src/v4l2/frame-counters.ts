/** What has come back from one queue of a session (addon/frame_counters.h). */
import { native } from '../native.js';
import type { NativeFrameCounters } from '../native-ring.js';
import { addTimes, type Times } from './histogram.js';

/** The bounds of the buckets of all histograms, in microseconds. The last is Infinity. */
export const timeBounds: readonly number[] = [...native.histogramBounds()];

export interface FrameCounts {
  readonly frames: number;
  readonly bytes: number;
  /** Frames that the driver has lost: gaps of v4l2_buffer.sequence. */
  readonly lost: number;
  /** Frames with V4L2_BUF_FLAG_ERROR. */
  readonly damaged: number;
  /** From the driver's timestamp to the event, of frames whose timestamp is of CLOCK_MONOTONIC. */
  readonly latency: Times;
}

export const noFrames: FrameCounts = {
  frames: 0,
  bytes: 0,
  lost: 0,
  damaged: 0,
  latency: { counts: timeBounds.map(() => 0), sum: 0 },
};

/** Both together. */
export const addFrames = (left: FrameCounts, right: FrameCounts): FrameCounts => ({
  frames: left.frames + right.frames,
  bytes: left.bytes + right.bytes,
  lost: left.lost + right.lost,
  damaged: left.damaged + right.damaged,
  latency: addTimes(left.latency, right.latency),
});

/** The counters of one queue. The threads of its frame plans count too. */
export class FrameCounters {
  readonly native: NativeFrameCounters = new native.FrameCounters();

  /** The event of a frame is sent. `buffer`, `planes`: as DQBUF has filled them. */
  count(buffer: Uint8Array, planes?: Uint8Array): void {
    this.native.count(buffer, planes);
  }

  /** The driver numbers the next frame anew. */
  restart(): void {
    this.native.restart();
  }

  get counts(): FrameCounts {
    const [frames, bytes, lost, damaged, , sum, ...counts] = this.native.read();
    return { frames: frames!, bytes: bytes!, lost: lost!, damaged: damaged!, latency: { counts, sum: sum! } };
  }

  /** How many buffers the driver has, while a frame plan has the queue. */
  get queued(): number {
    return this.native.read()[4]!;
  }
}
