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

export function isCapture(type: number): boolean {
  return captureTypes.has(type);
}

export function isMultiplanar(type: number): boolean {
  return type === BufferType.VIDEO_CAPTURE_MPLANE || type === BufferType.VIDEO_OUTPUT_MPLANE;
}

/** Overlay types. Their union has pointers, and no payload follows for them; so they are refused everywhere. */
export function isOverlay(type: number): boolean {
  return type === BufferType.VIDEO_OVERLAY || type === BufferType.VIDEO_OUTPUT_OVERLAY;
}
