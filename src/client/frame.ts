/** Where a timestamp is from (V4L2_BUF_FLAG_TIMESTAMP_*): CLOCK_MONOTONIC of the host, the source frame, or unknown. */
export type TimestampClock = 'monotonic' | 'copy' | 'unknown';

/** A frame that a device has filled. */
export interface Frame {
  /** Index of the buffer. */
  readonly index: number;
  readonly sequence: number;
  /** Seconds of the device's clock. A mem-to-mem device copies the timestamp of the source frame. */
  readonly timestamp: number;
  readonly clock: TimestampClock;
  /** Sum of all planes. */
  readonly bytesused: number;
  /** V4L2_BUF_FLAG_ERROR: the contents may be damaged. */
  readonly damaged: boolean;
  /** V4L2_BUF_FLAG_LAST: no frame follows until the stream is restarted. */
  readonly last: boolean;
  /** Live bytes. They are valid until the next frame is requested. */
  readonly planes: readonly Uint8Array[];
}
