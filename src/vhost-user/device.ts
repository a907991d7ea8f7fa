/** The interface between a back-end and the device that it carries. */
import type { GuestMemory } from '../virtio/guest-memory.js';
import type { Queue } from '../virtio/queue.js';

/** SHM region 0, as a device sees it. Same members as SharedMemoryTransport in src/media/transport.ts. */
export interface SharedMemoryTransport {
  readonly size: number;
  readonly survivesReset: boolean;
  readonly prefers: 'arena' | 'direct';
  map(fd: number, fileOffset: number, offset: number, length: number, done: (errno: number) => void): void;
  unmap(offset: number, length: number, done: (errno: number) => void): void;
}

/** Same members as ObjectTransport in src/media/transport.ts. */
export interface ObjectTransport {
  addObject(uuid: Uint8Array): void;
  removeObject(uuid: Uint8Array): void;
}

/** All calls come on the loop. None comes from within another call, unless its comment says so. */
export interface Device {
  /** The configuration space. It is read at each GET_CONFIG; the back-end adds zeros after its end. */
  readonly config: Uint8Array;
  /**
   * Called before each GET_CONFIG. Resolves when `config` may be read, within some milliseconds; the requests behind it
   * wait too. null: at once. Never rejects.
   */
  refreshConfig?(): Promise<void> | null;
  /** Bytes of SHM region 0; 0: none. */
  readonly sharedMemorySize: number;
  /**
   * Called once per connection, immediately before the first queueStarted: features are negotiated and guest memory
   * is known. If no ring of a connection ever starts, neither this nor `disconnected` is called. The transport
   * refuses requests with EBUSY unless all rings run; it accepts them already in the queueStarted of the last ring.
   * Objects may be added and removed at any time.
   */
  connected(memory: GuestMemory, transport: SharedMemoryTransport & ObjectTransport): void;
  /** The ring runs. Scan it now, because no kick may come. Every start brings a new queue. */
  queueStarted(index: number, queue: Queue): void;
  /** The driver has kicked this ring. A kick may be spurious. */
  queueKicked(index: number): void;
  /**
   * Called once for each queueStarted, also if the ring has broken in the meantime. Every popped chain must be pushed
   * before this returns; afterwards the queue must not be used. A VM that is paused stops its rings too: keep the
   * sessions.
   */
  queueStopped(index: number): void;
  /** The guest has reset the device: close all sessions. Called before the queueStarted that follows the reset. */
  reset(): void;
  /**
   * Descriptor of the object with this UUID (16 bytes), for another device of the VM. The device keeps the
   * descriptor. null: there is no such object.
   */
  object?(uuid: Uint8Array): number | null;
  /** Release everything. Every queueStopped and every `done` of the transport has been called before. */
  disconnected(): void;
}
