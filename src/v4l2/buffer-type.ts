/** Direction and planes of a buffer type (enum v4l2_buf_type). */
import { BufferType } from './layout.js';

const captureTypes: ReadonlySet<number> = new Set([
  BufferType.VIDEO_CAPTURE,
  BufferType.VBI_CAPTURE,
  BufferType.SLICED_VBI_CAPTURE,
  BufferType.VIDEO_CAPTURE_MPLANE,
  BufferType.SDR_CAPTURE,
  BufferType.META_CAPTURE,
]);

/**
 * Whether buffers of this type (V4L2_BUF_TYPE_*) carry data from the device to the program. False also for overlays.
 */
export function isCapture(type: number): boolean {
  return captureTypes.has(type);
}

/** Whether buffers of this type have an array of struct v4l2_plane. */
export function isMultiplanar(type: number): boolean {
  return type === BufferType.VIDEO_CAPTURE_MPLANE || type === BufferType.VIDEO_OUTPUT_MPLANE;
}

/** Overlay types. Their union has pointers, and no payload follows for them; so they are refused everywhere. */
export function isOverlay(type: number): boolean {
  return type === BufferType.VIDEO_OVERLAY || type === BufferType.VIDEO_OUTPUT_OVERLAY;
}
