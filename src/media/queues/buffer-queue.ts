/** State of one queue (buffer type) of a session: which buffers the driver has, and what the guest knows about it. */
import { isCapture, isMultiplanar } from '../../v4l2/buffer-type.js';
import { type Backing, backings } from './backings.js';
import type { HostBuffer, VideoBuffer } from './video-buffer.js';

/** Bytes of all buffers of the queues, including refused ones. */
export function bytesOf(queues: readonly BufferQueue[]): number {
  return queues.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** State of a queue before a STREAMOFF that the guest must not notice. Numbers are buffer indices. */
export interface StreamState {
  readonly queued: readonly number[];
  readonly unannounced: readonly number[];
  readonly owed: readonly number[];
  readonly driverHas: readonly number[];
  readonly early: readonly HostBuffer[];
  readonly isStreaming: boolean;
  readonly isWithheld: boolean;
}

/** One queue of a session. It exists from REQBUFS or CREATE_BUFS until REQBUFS(0) or CLOSE. */
export class BufferQueue {
  readonly #buffers = new Map<number, VideoBuffer>();
  #queued: Set<number> = new Set();
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

  /** V4L2_MEMORY_* of the guest's queue. */
  get memory(): number {
    return backings[this.backing].guest;
  }

  get isCapture(): boolean {
    return isCapture(this.type);
  }

  get isMultiplanar(): boolean {
    return isMultiplanar(this.type);
  }

  /** By buffer index. */
  get buffers(): ReadonlyMap<number, VideoBuffer> {
    return this.#buffers;
  }

  /** Indices of queued buffers in the order of their QBUFs. Abandoned buffers are not among them. */
  get queued(): ReadonlySet<number> {
    return this.#queued;
  }

  /** Queued buffers whose QBUF got an early answer: the guest believes that it failed, and may repeat it. */
  get unannounced(): ReadonlySet<number> {
    return this.#unannounced;
  }

  /** Buffers that the driver has although the guest never repeated their QBUF: no event is sent when they come back. */
  get abandoned(): ReadonlySet<number> {
    return this.#abandoned;
  }

  /** Buffers that STREAMOFF returned while the guest waits for them: the guest gets a damaged frame for each. */
  get owed(): ReadonlySet<number> {
    return this.#owed;
  }

  get streaming(): boolean {
    return this.#isStreaming;
  }

  /** The LAST buffer was dequeued: DQBUF fails with EPIPE until the stream is restarted. */
  get ended(): boolean {
    return this.#hasEnded;
  }

  /** DQBUF failed with EIO: queued buffers go back to the guest with V4L2_BUF_FLAG_ERROR. */
  get failed(): boolean {
    return this.#hasFailed;
  }

  /** The v4l2_buffer (88 bytes) of the last frame that came back; null: none since STREAMOFF. */
  get lastFrame(): Buffer | null {
    return this.#lastFrame;
  }

  /** Number of buffers that the kernel keeps until REQBUFS(0) although the guest got an error for them. */
  get refused(): number {
    return this.#refused.count;
  }

  /** Whether frames may be dequeued. */
  get isDrained(): boolean {
    return this.#isStreaming && !this.#isWithheld;
  }

  /** Whether the watcher waits for this queue. Not if it has no buffers: then vb2 would start read() emulation. */
  get isArmed(): boolean {
    return this.isDrained && this.#buffers.size > 0 && !this.#hasEnded && !this.#hasFailed;
  }

  /** Indices of buffers that the guest waits for, in the order of their QBUFs. */
  get wanted(): number[] {
    return [...this.#queued].filter((index) => !this.#unannounced.has(index));
  }

  /** Indices of queued buffers that have not come back, in the order of their QBUFs. */
  get driverHas(): number[] {
    const back = new Set(this.#early.map(indexOf));
    return [...this.#queued].filter((index) => !back.has(index));
  }

  /** Bytes of all buffers, including refused ones. */
  get bytes(): number {
    return [...this.#buffers.values()].reduce((sum, vb) => sum + vb.bytes, this.#refused.bytes);
  }

  /** Number of buffers that the kernel has, including refused ones. */
  get count(): number {
    return this.#buffers.size + this.#refused.count;
  }

  add(vb: VideoBuffer): void {
    this.#buffers.set(vb.index, vb);
  }

  remove(index: number): void {
    this.#buffers.delete(index);
  }

  /** The guest got an error, but the kernel keeps `count` buffers of `bytes` bytes together until REQBUFS(0). */
  refuse(count: number, bytes: number): void {
    this.#refused.count += count;
    this.#refused.bytes += bytes;
  }

  /** QBUF has succeeded: the driver has the buffer. */
  enqueue(index: number): void {
    this.#abandoned.delete(index);
    this.#owed.delete(index);
    this.#queued.add(index);
  }

  /** The buffer goes back to the guest. `record`: its v4l2_buffer. */
  dequeue(index: number, record: Buffer): void {
    this.#queued.delete(index);
    this.#lastFrame = record;
  }

  /** No buffer is unannounced, abandoned, owed or early. */
  get isSettled(): boolean {
    return this.#unannounced.size + this.#abandoned.size + this.#owed.size + this.#early.length === 0;
  }

  /** Threads have queued and dequeued buffers. `queued`: those that the driver has now. */
  adopt(queued: Iterable<number>, lastFrame: Buffer | null): void {
    this.#queued = new Set(queued);
    this.#lastFrame = lastFrame ?? this.#lastFrame;
  }

  /** The QBUF of the buffer got an early answer. */
  conceal(index: number): void {
    this.#unannounced.add(index);
  }

  /** The guest knows now that the buffer is queued. */
  announce(index: number): void {
    this.#unannounced.delete(index);
  }

  /** The guest does not repeat the QBUF, and the driver still has the buffer. */
  abandon(index: number): void {
    this.#queued.delete(index);
    this.#abandoned.add(index);
  }

  /** An abandoned buffer has come back. False: it was not abandoned. */
  takeAbandoned(index: number): boolean {
    return this.#abandoned.delete(index);
  }

  /** An unannounced buffer has come back. It waits here until the guest knows that it was queued. */
  keepEarly(host: HostBuffer): void {
    this.#early = [...this.#early, host];
  }

  /** Removes and returns the first early buffer whose QBUF the guest knows about now; null: there is none. */
  takeEarly(): HostBuffer | null {
    const told = this.#early.find((host) => !this.#unannounced.has(indexOf(host)));
    if (told) this.#early = this.#early.filter((host) => host !== told);
    return told ?? null;
  }

  /** Forgets a buffer that came back while it was unannounced. False: it has not come back. */
  dropEarly(index: number): boolean {
    const before = this.#early.length;
    this.#early = this.#early.filter((host) => indexOf(host) !== index);
    const isDropped = this.#early.length < before;
    if (isDropped) this.#queued.delete(index);
    return isDropped;
  }

  /** The guest gets a damaged frame for each of these buffers. */
  owe(indices: Iterable<number>): void {
    for (const index of indices) this.#owed.add(index);
  }

  /** The event with the damaged frame is being sent. */
  payOwed(index: number): void {
    this.#owed.delete(index);
  }

  forgetOwed(): void {
    this.#owed.clear();
  }

  /** STREAMON has succeeded. Frames are dequeued at once, unless the queue is withheld. */
  started(): void {
    this.#isStreaming = true;
  }

  /** True: STREAMON got an early answer, so the guest does not know that the queue streams. Nothing is dequeued. */
  withhold(isWithheld: boolean): void {
    this.#isWithheld = isWithheld;
  }

  /** DQBUF failed with EINVAL: the driver does not stream, whatever ioctls succeeded before. */
  notStreaming(): void {
    this.#isStreaming = false;
  }

  /** DQBUF failed with EPIPE. */
  end(): void {
    this.#hasEnded = true;
  }

  /** The guest restarts a codec after the LAST buffer. */
  goOn(): void {
    this.#hasEnded = false;
  }

  /** DQBUF failed with EIO. */
  fail(): void {
    this.#hasFailed = true;
  }

  /** STREAMOFF has succeeded: the guest has every buffer again, without events. */
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

  /** The state that STREAMOFF and REQBUFS clear. */
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

  /** After a STREAMOFF by the bridge itself. `taken`: indices of `before` that are queued again, in their order. */
  requeued(before: StreamState, taken: ReadonlySet<number>): void {
    this.#early = before.early;
    this.owe(before.owed);
    for (const index of taken) this.#queued.add(index);
    for (const index of before.unannounced) if (taken.has(index)) this.#unannounced.add(index);
  }

  /** After a STREAMON by the bridge itself. `hasFailed`: it failed, so all buffers become damaged frames. */
  restarted(before: StreamState, hasFailed: boolean): void {
    this.#isStreaming = before.isStreaming;
    this.#isWithheld = before.isWithheld;
    this.#hasFailed = hasFailed;
  }
}

const indexOf = ({ buffer }: HostBuffer) => Buffer.from(buffer.buffer, buffer.byteOffset).readUInt32LE(0);
