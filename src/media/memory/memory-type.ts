/** What a memory type does with a buffer: the same verbs for each, one file a type in memory/. */

import type { BufferQueue } from '../queues/buffer-queue.js';
import type { GuestBuffer } from '../queues/buffer-record.js';
import type { HostBuffer, VideoBuffer } from '../queues/video-buffer.js';
import type { Session } from '../session.js';

/** One QUERYBUF, QBUF or PREPARE_BUF of a guest. */
export interface BufferCall {
  readonly session: Session;
  readonly queue: BufferQueue;
  readonly vb: VideoBuffer;
  readonly guest: GuestBuffer;
  readonly nr: number;
  /** The guest's handle of the request that the buffer is queued to; 0: none. */
  readonly request: number;
}

/** What the kernel gets, and what becomes of it when the kernel has answered. */
export interface Attached {
  readonly host: HostBuffer;
  /** After the ioctl, with its errno: keeps or lets go of what was attached. */
  readonly settle?: (errno: number) => void;
}

export interface MemoryType {
  /** Reads what follows the record, if anything, and gives the buffer its host form. An errno where that cannot be. */
  attach(call: BufferCall): Attached | number | Promise<Attached | number>;
  /** The guest's view of the answer: what follows the response header. */
  restore(call: BufferCall, host: HostBuffer): Uint8Array[];
  /** A buffer came back from the driver: its contents go where the guest looks for them. */
  release(session: Session, queue: BufferQueue, vb: VideoBuffer, host: HostBuffer): Promise<void> | undefined;
  /** Whether the guest still has in the buffer what was copied for the driver; absent: nothing ever is. */
  isSame?(call: BufferCall, host: HostBuffer): Promise<boolean>;
}
