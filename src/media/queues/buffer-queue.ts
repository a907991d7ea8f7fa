/** What the guest believes about its buffers and what the host holds for them, per queue (buffer type) and index. */
import { isCapture, isMultiplanar } from '../../v4l2/buffer-type.js';
import { type Backing, backings } from './backings.js';
import type { HostBuffer, VideoBuffer } from './video-buffer.js';

/** Bytes of all buffers of the queues. */
export function bytesOf(queues: readonly BufferQueue[]): number {
  return queues.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** A queue at one moment. */
export interface StreamState {
  readonly queued: readonly number[];
  readonly unannounced: readonly number[];
  readonly owed: readonly number[];
  readonly driverHas: readonly number[];
  readonly early: readonly HostBuffer[];
  readonly isStreaming: boolean;
  readonly isWithheld: boolean;
}

/** One queue of a session: exists from REQBUFS or CREATE_BUFS to REQBUFS(0) or CLOSE. */
export class BufferQueue {
  readonly #buffers = new Map<number, VideoBuffer>();
  readonly #queued = new Set<number>();
  readonly #unannounced = new Set<number>();
  readonly #abandoned = new Set<number>();
  readonly #owed = new Set<number>();
  #early: readonly HostBuffer[] = [];
  #isStreaming = false;
  #isWithheld = false;
  #hasEnded = false;
  #hasFailed = false;
  #lastFrame: Buffer | null = null;
  #refused = { count: 0, bytes: 0 };

  constructor(
    readonly type: number,
    readonly backing: Backing,
  ) {}

  /** V4L2_MEMORY_* of the guest. */
  get memory(): number {
    return backings[this.backing].guest;
  }

  get isCapture(): boolean {
    return isCapture(this.type);
  }

  get isMultiplanar(): boolean {
    return isMultiplanar(this.type);
  }

  /** By index. */
  get buffers(): ReadonlyMap<number, VideoBuffer> {
    return this.#buffers;
  }

  /** Indices of buffers that the host has, in the order in which they were queued. */
  get queued(): ReadonlySet<number> {
    return this.#queued;
  }

  /** Queued buffers whose QBUF was answered before it was done: the guest believes that it failed, and may ask again. */
  get unannounced(): ReadonlySet<number> {
    return this.#unannounced;
  }

  /** Buffers that the host has and that the guest does not ask for: no event tells when they come back. */
  get abandoned(): ReadonlySet<number> {
    return this.#abandoned;
  }

  /** Buffers that the host has given up silently while the guest waits for them: the guest gets a damaged frame for each. */
  get owed(): ReadonlySet<number> {
    return this.#owed;
  }

  get streaming(): boolean {
    return this.#isStreaming;
  }

  /** A LAST buffer was dequeued: DQBUF says EPIPE until the stream is restarted. */
  get ended(): boolean {
    return this.#hasEnded;
  }

  /** The driver gave up (EIO): what is queued goes back with V4L2_BUF_FLAG_ERROR. */
  get failed(): boolean {
    return this.#hasFailed;
  }

  /** The v4l2_buffer of the last frame that came back. */
  get lastFrame(): Buffer | null {
    return this.#lastFrame;
  }

  /** Buffers that the kernel keeps until REQBUFS(0) though the guest was refused them. */
  get refused(): number {
    return this.#refused.count;
  }

  /** Frames may be dequeued. */
  get isDrained(): boolean {
    return this.#isStreaming && !this.#isWithheld;
  }

  /** Whether the watcher should wait for this queue's buffers. Never without buffers: vb2 would start read() emulation. */
  get isArmed(): boolean {
    return this.isDrained && this.#buffers.size > 0 && !this.#hasEnded && !this.#hasFailed;
  }

  /** Indices of buffers that the guest waits for, in the order in which they were queued. */
  get wanted(): number[] {
    return [...this.#queued].filter((index) => !this.#unannounced.has(index));
  }

  /** Indices of queued buffers that have not come back, in the order in which they were queued. */
  get driverHas(): number[] {
    const back = new Set(this.#early.map(indexOf));
    return [...this.#queued].filter((index) => !back.has(index));
  }

  /** Bytes of all buffers, refused ones included. */
  get bytes(): number {
    return [...this.#buffers.values()].reduce((sum, vb) => sum + vb.bytes, this.#refused.bytes);
  }

  /** Buffers that the kernel has, refused ones included. */
  get count(): number {
    return this.#buffers.size + this.#refused.count;
  }

  add(vb: VideoBuffer): void {
    this.#buffers.set(vb.index, vb);
  }

  remove(index: number): void {
    this.#buffers.delete(index);
  }

  /** The kernel keeps buffers until REQBUFS(0) that the guest was refused: `bytes` of all of them. */
  refuse(count: number, bytes: number): void {
    this.#refused.count += count;
    this.#refused.bytes += bytes;
  }

  /** The driver has the buffer. */
  enqueue(index: number): void {
    this.#abandoned.delete(index);
    this.#owed.delete(index);
    this.#queued.add(index);
  }

  /** The buffer goes back to the guest. */
  dequeue(index: number, record: Buffer): void {
    this.#queued.delete(index);
    this.#lastFrame = record;
  }

  /** Its QBUF was answered before it was done. */
  conceal(index: number): void {
    this.#unannounced.add(index);
  }

  /** The guest knows by now that it is queued. */
  announce(index: number): void {
    this.#unannounced.delete(index);
  }

  /** The guest does not ask for it again, and the driver has it still. */
  abandon(index: number): void {
    this.#queued.delete(index);
    this.#abandoned.add(index);
  }

  /** An abandoned buffer has come back. False: it was not abandoned. */
  takeAbandoned(index: number): boolean {
    return this.#abandoned.delete(index);
  }

  /** An unannounced buffer has come back: it waits here until the guest knows of it. */
  keepEarly(host: HostBuffer): void {
    this.#early = [...this.#early, host];
  }

  /** The first buffer that came back early and that the guest knows of by now. */
  takeEarly(): HostBuffer | null {
    const told = this.#early.find((host) => !this.#unannounced.has(indexOf(host)));
    if (told) this.#early = this.#early.filter((host) => host !== told);
    return told ?? null;
  }

  /** Forgets a buffer that came back early. False: it has not come back. */
  dropEarly(index: number): boolean {
    const before = this.#early.length;
    this.#early = this.#early.filter((host) => indexOf(host) !== index);
    const isDropped = this.#early.length < before;
    if (isDropped) this.#queued.delete(index);
    return isDropped;
  }

  owe(indices: Iterable<number>): void {
    for (const index of indices) this.#owed.add(index);
  }

  /** The guest gets an event for the buffer now. */
  payOwed(index: number): void {
    this.#owed.delete(index);
  }

  forgetOwed(): void {
    this.#owed.clear();
  }

  /** STREAMON. Frames are dequeued at once, unless it is withheld. */
  started(): void {
    this.#isStreaming = true;
  }

  /** The guest does not know yet that the queue streams: nothing is dequeued. */
  withhold(isWithheld: boolean): void {
    this.#isWithheld = isWithheld;
  }

  /** DQBUF said EINVAL: the queue does not stream, whatever was done. */
  notStreaming(): void {
    this.#isStreaming = false;
  }

  /** DQBUF said EPIPE. */
  end(): void {
    this.#hasEnded = true;
  }

  /** A codec goes on after its LAST buffer. */
  goOn(): void {
    this.#hasEnded = false;
  }

  /** DQBUF said EIO. */
  fail(): void {
    this.#hasFailed = true;
  }

  /** STREAMOFF: every buffer is the guest's again, silently. */
  stopped(): void {
    this.#isStreaming = false;
    this.#isWithheld = false;
    this.#hasEnded = false;
    this.#hasFailed = false;
    this.#lastFrame = null;
    this.#early = [];
    for (const indices of [this.#queued, this.#unannounced, this.#abandoned, this.#owed]) indices.clear();
    for (const vb of this.#buffers.values()) vb.prepare(false);
  }

  /** What STREAMOFF and REQBUFS would forget. */
  get stream(): StreamState {
    return {
      queued: [...this.#queued],
      unannounced: [...this.#unannounced],
      owed: [...this.#owed],
      driverHas: this.driverHas,
      early: this.#early,
      isStreaming: this.#isStreaming,
      isWithheld: this.#isWithheld,
    };
  }

  /** After a STREAMOFF by the bridge: `taken` are the buffers of `before` that are queued again, in their order. */
  requeued(before: StreamState, taken: ReadonlySet<number>): void {
    this.#early = before.early;
    this.owe(before.owed);
    for (const index of taken) this.#queued.add(index);
    for (const index of before.unannounced) if (taken.has(index)) this.#unannounced.add(index);
  }

  /** After a STREAMON by the bridge. `hasFailed`: it was refused, so all buffers become damaged frames, as after EIO. */
  restarted(before: StreamState, hasFailed: boolean): void {
    this.#isStreaming = before.isStreaming;
    this.#isWithheld = before.isWithheld;
    this.#hasFailed = hasFailed;
  }
}

function indexOf({ buffer }: HostBuffer): number {
  return Buffer.from(buffer.buffer, buffer.byteOffset).readUInt32LE(0);
}
