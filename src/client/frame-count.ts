/** Statistics of a stream: number of frames, frame rate, lost and damaged frames. */
import type { Frame, TimestampClock } from './frame.js';

export interface FrameSummary {
  readonly frames: number;
  /** Frames a second by the device's timestamps; null: fewer than two frames, or no time between them. */
  readonly fps: number | null;
  /** Frames a second by the arrival times; null as for `fps`. */
  readonly arrivalFps: number | null;
  /** Frames that are missing between the sequence numbers. */
  readonly dropped: number;
  /** Frames with V4L2_BUF_FLAG_ERROR. */
  readonly damaged: number;
  readonly bytes: number;
  /** Where the timestamp of the last frame is from. */
  readonly clock: TimestampClock;
}

export class FrameCount {
  #frames = 0;
  #dropped = 0;
  #damaged = 0;
  #bytes = 0;
  #clock: TimestampClock = 'unknown';
  #first: { timestamp: number; arrival: number } | undefined;
  #last = { timestamp: 0, arrival: 0, sequence: 0 };

  /** `arrival`: seconds of any one clock. */
  add({ timestamp, clock, sequence, bytesused, damaged }: Frame, arrival: number): void {
    if (this.#first) this.#dropped += Math.max(0, ((sequence - this.#last.sequence) >>> 0) - 1);
    this.#first ??= { timestamp, arrival };
    this.#last = { timestamp, arrival, sequence };
    this.#clock = clock;
    this.#frames++;
    this.#bytes += bytesused;
    if (damaged) this.#damaged++;
  }

  get summary(): FrameSummary {
    const rate = (span: number) => (this.#frames > 1 && span > 0 ? (this.#frames - 1) / span : null);
    return {
      frames: this.#frames,
      fps: rate(this.#last.timestamp - (this.#first?.timestamp ?? 0)),
      arrivalFps: rate(this.#last.arrival - (this.#first?.arrival ?? 0)),
      dropped: this.#dropped,
      damaged: this.#damaged,
      bytes: this.#bytes,
      clock: this.#clock,
    };
  }
}
