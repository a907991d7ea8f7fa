/** What a back-end carries, and what it gives to it. */
import type { GuestMemory } from '../virtio/guest-memory.js';
import type { Queue } from '../virtio/queue.js';

/** What a device sees of SHM region 0: the shape of SharedMemoryTransport in src/media/transport.ts. */
export interface SharedMemoryTransport {
  readonly size: number;
  readonly survivesReset: boolean;
  readonly prefers: 'arena' | 'direct';
  map(fd: number, fileOffset: number, offset: number, length: number, done: (errno: number) => void): void;
  unmap(offset: number, length: number, done: (errno: number) => void): void;
}

/** The shape of ObjectTransport in src/media/transport.ts. */
export interface ObjectTransport {
  addObject(uuid: Uint8Array): void;
  removeObject(uuid: Uint8Array): void;
}

/** Calls come on the loop, none from within another except as said here. */
export interface Device {
  /** The configuration space. Read at each GET_CONFIG; zeros follow. */
  readonly config: Uint8Array;
  /** Bytes of SHM region 0; 0: none. */
  readonly sharedMemorySize: number;
  /**
   * Once per connection, immediately before its first queueStarted: features are negotiated and memory is there.
   * A connection that never starts a ring never calls it, nor `disconnected`. The transport is refused (EBUSY)
   * unless all rings run, and is already open in the queueStarted of the last one. Objects may be added and removed
   * at any time.
   */
  connected(memory: GuestMemory, transport: SharedMemoryTransport & ObjectTransport): void;
  /** The ring runs: scan it now, no kick may come. The queue is a new one at every start. */
  queueStarted(index: number, queue: Queue): void;
  queueKicked(index: number): void;
  /**
   * Once for each queueStarted, also when the ring has broken in the meantime. Every popped chain must be pushed
   * before this returns; the queue is dead afterwards. A VM that is paused stops its rings too: sessions stay.
   */
  queueStopped(index: number): void;
  /** The guest reset the device: close all sessions. Before the queueStarted that follows the reset. */
  reset(): void;
  /** The memory of the object with these 16 bytes, for another device of the VM: borrowed, or null: there is none. */
  object?(uuid: Uint8Array): number | null;
  /** Release everything. Every queueStopped and every `done` of the transport came before. */
  disconnected(): void;
}
