/** A frame that a device has filled. */
export interface Frame {
  readonly index: number;
  readonly sequence: number;
  /** Seconds of the device's clock; of a mem-to-mem device: what its source frame had. */
  readonly timestamp: number;
  /** Sum over the planes. */
  readonly bytesused: number;
  /** V4L2_BUF_FLAG_ERROR: the contents may be damaged. */
  readonly damaged: boolean;
  /** V4L2_BUF_FLAG_LAST: nothing follows until the stream is restarted. */
  readonly last: boolean;
  /** Live bytes, valid until the next frame is asked for. */
  readonly planes: readonly Uint8Array[];
}
