/** The interface of a memory type. Each type has a file in memory/. */

import type { Result } from '../../result.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import type { GuestBuffer } from '../queues/buffer-record.js';
import type { HostBuffer, VideoBuffer } from '../queues/video-buffer.js';
import type { Session } from '../session.js';

/** One QUERYBUF, QBUF or PREPARE_BUF of a guest, after the checks that all memory types have in common. */
export interface BufferCall {
  readonly session: Session;
  readonly queue: BufferQueue;
  readonly vb: VideoBuffer;
  readonly guest: GuestBuffer;
  /** Ioctl number: Ioctl.QUERYBUF, QBUF or PREPARE_BUF. */
  readonly nr: number;
  /** Request handle of the request that the buffer is queued to; 0: none. */
  readonly request: number;
}

/** The records for the kernel, and what to do when the kernel has answered. */
export interface Attached {
  readonly host: HostBuffer;
  /** Called after the ioctl with its errno: keeps what was attached (0), or releases it. */
  readonly settle?: (errno: number) => void;
}

export interface MemoryType {
  /** Reads what follows the records (SG lists, UUIDs) and makes the records for the kernel. */
  attach(call: BufferCall): Result<Attached> | Promise<Result<Attached>>;
  /** The guest's view of the kernel's records: the parts of the response payload in their order. */
  restore(call: BufferCall, host: HostBuffer): Uint8Array[];
  /** A buffer came back from the driver: copies its frame to the guest. Undefined: no copy is needed. */
  release(session: Session, queue: BufferQueue, vb: VideoBuffer, host: HostBuffer): Promise<void> | undefined;
  /** Whether the guest's buffer still equals the copy that the driver got. Absent: the type never copies. */
  isSame?(call: BufferCall, host: HostBuffer): Promise<boolean>;
}
