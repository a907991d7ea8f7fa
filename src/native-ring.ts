/** The rings of the addon, for native.ts. Types and numbers only. */

/** Features of a ring: VIRTIO_F_EVENT_IDX and VIRTIO_F_INDIRECT_DESC. */
export const RingFlags = { EVENT_IDX: 1, INDIRECT: 2 } as const;

/** What a thread of a ring tells the loop of a session. */
export const RingNotice = {
  /** A command was answered ETIMEDOUT, and its ioctl goes on. */
  EXPIRED: 0,
  /** An ioctl has failed with ENODEV or EBUSY. */
  FAILED: 1,
  /** A command that was answered before has ended. The file is the loop's. */
  LATE: 2,
} as const;

/** What onReady of a NodeFile gets when hold() would succeed now. No epoll bit. */
export const HELD = 0x8000_0000;

/**
 * How the bytes of an ioctl cross without a decision. PAYLOAD: as they are. CONTROLS: with records that follow. QUEUE:
 * QBUF of a buffer in the file's plan.
 */
export const FlatKind = { NONE: 0, PAYLOAD: 1, CONTROLS: 2, QUEUE: 3 } as const;

/** An open file that threads may use instead of the loop. A new file is the loop's. */
export interface SharedFile {
  /** The file is the loop's. False: a thread uses it; when it is done, the file is the loop's, and onReady gets HELD. */
  hold(): boolean;
  /** Threads may use the file until hold(). */
  release(): void;
  /**
   * What threads may do with the buffers of one or two queues, until takePlan(). The loop has the file. `events`: the
   * eventq. `numbers`: u32 each: session, subscribed to V4L2 events (1 or 0), number of queues; then for each queue, the
   * CAPTURE queue last: buffer type, memory of the guest, memory of the host, flags that a guest may set, number of
   * buffers; for each buffer: mapped (1 or 0), number of planes; for each plane: bytes, mmap offset, 1 + index into
   * `regions` (0: none), offset there (low and high half); then the number of queued buffers, and their indices in the
   * order of their QBUFs.
   */
  plan(events: NativeRing, numbers: Uint8Array, regions: readonly object[]): void;
  /** Ends the plan. Returns what has happened under it; undefined: there was none. The loop has the file. */
  takePlan(): PlanResult | undefined;
}

/**
 * Of each queue the indices of the buffers that the driver has, and the v4l2_buffer of the last frame (88 bytes) if there
 * was one. `untold`: events of what left the kernel and was not sent, in order.
 */
export type PlanResult = [queues: [queued: Buffer, lastFrame: Buffer | null][], untold: Buffer[]];

/** The sessions whose flat commands the threads of a ring may run. */
export interface NativeCommandTable {
  /** `file`: a NodeFile. `kinds`: FlatKind of each ioctl, by number; 256 bytes. */
  add(session: number, file: SharedFile, kinds: Uint8Array): void;
  remove(session: number): void;
}

/** What `walk` has found. */
export const RingWalk = { NOTHING: 0, MORE: 1, CHAIN: 2, MALFORMED: 3, BITS: 2 } as const;

/** What rings may access of guest memory. */
export interface NativeGuestMemory {
  /** Replaces all regions. Guest addresses ascend, and the regions do not overlap. */
  set(addresses: readonly number[], regions: readonly object[]): void;
}

/** `flags`: bits of RingFlags. The limits are those of a chain: one with more is malformed. */
export type RingOptions = [
  memory: NativeGuestMemory,
  size: number,
  flags: number,
  maxReadableBytes: number,
  maxIndirectEntries: number,
  maxBytes: number,
];

/** The device's side of a split virtqueue (addon/split_ring.h). Chains that were popped have numbers. */
export interface NativeRing {
  /** Views of the three parts. A TypeError: one is too short or misaligned. The walk begins again. */
  bind(descriptors: Uint8Array, available: Uint8Array, used: Uint8Array): void;
  /** Where the ring goes on: the front-end's base, and how many chains were abandoned before its last stop. */
  start(base: number, lost: number): void;
  /** Walks along the next chain, over at most `limit` descriptors. Returns RingWalk, and `read << BITS`. */
  walk(limit: number): number;
  /** Why the ring is broken, or what is wrong with the chain that is walked. */
  why(): string;
  /** The chain whose walk is complete. undefined: it is not. */
  shape(): [head: number, readableBytes: number, writableBytes: number, writablePieces: number] | undefined;
  /**
   * Copies readable bytes into `into`, from `copied()` on. `piecePrice`: what a piece costs of the budget, however short it
   * is. Returns the rest of the budget; undefined: malformed.
   */
  copy(into: Uint8Array, piecePrice: number, budget: number): number | undefined;
  copied(): number;
  /** Pops the chain whose walk is complete. Returns its number. */
  take(): number | undefined;
  /** Pops the chain that is walked, and gives it back with length 0. */
  refuse(): void;
  /** Writes the parts to the writable memory of a chain, as far as they fit. Returns the bytes written. */
  reply(id: number, parts: readonly Uint8Array[]): number;
  /** Gives a chain back. False: there is no chain with this number. */
  push(id: number, written: number): boolean;
  /** Forgets a chain that must not go back. False: there is no chain with this number. */
  abandon(id: number): boolean;
  /** Whether the driver wants a notification of what was pushed since the last call. */
  takeNotification(): boolean;
  /** Asks for a kick. True: chains became available since the last call, for which there may be no kick. */
  enableKicks(): boolean;
  /** Asks for no kick. The driver may kick all the same. */
  disableKicks(): void;
  /** Never touches guest memory again. */
  stop(): void;
  waiting(): number;
  popped(): number;
  pushed(): number;
  outstanding(): number;
  nextAvailable(): number;
  lost(): number;
  isBroken(): boolean;

  /**
   * Threads for the flat commands of the sessions in `table`, not started yet. Times in ms: when a command is answered
   * ETIMEDOUT; when an answer is no longer written; when the chain is not given back any more. The last of `threads` runs
   * no command. `woken`: the threads have given the ring back, or a notice waits.
   */
  serve(
    table: NativeCommandTable,
    kick: number,
    deadline: number,
    lastWrite: number,
    guestTimeout: number,
    threads: number,
    woken: () => void,
  ): void;
  setKick(fd: number): void;
  /** The eventfd by which threads call the driver; -1: none. */
  setCall(fd: number): void;
  /** Chains that nobody has been promised. */
  free(): number;
  /** The most chains that the device ever had at the same time, not yet pushed. */
  pool(): number;
  /** The loop promises one chain more. False: none is free. */
  claim(): boolean;
  /** How many chains the loop has promised. `isBlocked`: its own events wait, so no thread may send one before. */
  setClaimed(count: number, isBlocked: boolean): void;
  /** The threads take the chains from now on, until they find one that is not theirs. Throws. */
  lend(): void;
  /** The loop takes the chains from now on. */
  reclaim(): void;
  isLent(): boolean;
  /** Answers every command that a thread runs. Its result comes as a notice. */
  interrupt(errno: number): void;
  takeNotice(): [what: number, session: number, errno: number, request: Buffer, payload: Buffer] | undefined;
}

/** Functions on records of V4L2 that the data plane and the loop share. They change the bytes in place. */
export interface NativeRecords {
  /**
   * The records of a v4l2_buffer, translated in place (src/v4l2/record-translation.ts). `words`: packed as
   * addon/buffer_record.cc says. Throws TypeError.
   */
  hostBuffer(record: Uint8Array, planes: Uint8Array, words: Uint8Array): void;
  guestBuffer(record: Uint8Array, planes: Uint8Array, words: Uint8Array): void;
  /** FieldMask of src/v4l2/ioctls.ts, carried out on a payload. Throws if the field is not inside it. */
  hideBits(payload: Uint8Array, at: number, hidden: number, optional: number, unless: number): void;
}
