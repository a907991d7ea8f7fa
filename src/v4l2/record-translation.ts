/**
 * Translation of struct v4l2_buffer and its v4l2_plane records between a guest and the host's kernel. The addon does it
 * (addon/buffer_record.h), for the data plane as well. Records are changed in place.
 */
import { native } from '../native.js';

/** What the host's kernel gets that the guest does not decide. */
export interface HostSide {
  /** enum v4l2_memory. */
  readonly memory: number;
  /** The bits of v4l2_buffer.flags that a guest may set. */
  readonly guestFlags: number;
  /** Bytes of each plane. A single-planar buffer has one, or none. */
  readonly lengths: readonly number[];
}

/** What the guest sees of a plane in place of the host's values. */
export interface GuestSidePlane {
  /** The union m, 8 bytes; empty: zero. */
  readonly m: Uint8Array;
  readonly length: number;
}

/** What the guest sees in place of the host's values. */
export interface GuestSide {
  readonly memory: number;
  /** Those of V4L2_BUF_FLAG_REQUEST_FD and IN_REQUEST that this guest sees if the kernel has set them. */
  readonly shownFlags: number;
  /** V4L2_BUF_FLAG_MAPPED, or 0. */
  readonly addedFlags: number;
  readonly requestFd: number;
  /** The record is that of DQBUF: the buffer is neither queued nor done any more. */
  readonly dequeued: boolean;
  /** Multi-planar: the union m of the record, 8 bytes; empty: zero. */
  readonly pointer: Uint8Array;
  /** A single-planar buffer has one. */
  readonly planes: readonly GuestSidePlane[];
}

/**
 * Makes the guest's records those of the host's kernel. `planes`: 64 bytes for each plane; empty: single-planar.
 * Pointers and descriptors are 0.
 */
export function toHost(record: Uint8Array, planes: Uint8Array, own: HostSide): void {
  native.hostBuffer(record, planes, words([own.memory, own.guestFlags, ...own.lengths]));
}

/** Makes the host's records those of the guest. */
export function toGuest(record: Uint8Array, planes: Uint8Array, own: GuestSide): void {
  const { memory, shownFlags, addedFlags, requestFd, dequeued, pointer } = own;
  const packed = [memory, shownFlags, addedFlags, requestFd, dequeued ? 1 : 0, ...halves(pointer)];
  for (const { m, length } of own.planes) packed.push(...halves(m), length);
  native.guestBuffer(record, planes, words(packed));
}

function words(values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

function halves(m: Uint8Array): readonly [low: number, high: number] {
  if (m.length === 0) return [0, 0];
  const view = new DataView(m.buffer, m.byteOffset, m.length);
  return [view.getUint32(0, true), view.getUint32(4, true)];
}
