/**
 * A fake: a host node with one CAPTURE queue that behaves as vb2 does, without a kernel. Calls complete at once unless
 * a test delays them. All calls are recorded.
 */
import type { NodeCall } from '../../../src/native.js';
import type { HostNode } from '../../../src/v4l2/node.js';
import { joinPieces } from './support/fake-join.js';

export const EINVAL = 22;
const EAGAIN = 11;
const ENOENT = 2;
const ENOTTY = 25;

type Answer = number | Promise<number>;
export type Ioctl = (payload: Buffer) => Answer;

interface FakeBuffer {
  state: 'idle' | 'queued' | 'done';
  flags: number;
}

/** The result of `open()`: the part of an OpenFile that a Session uses. */
export class FakeFile {
  /** All calls. The payload of a plain ioctl is a copy from before the fake changed it. */
  readonly calls: NodeCall[] = [];
  /** The masks of all `watch` calls, in order. */
  readonly watched: number[] = [];
  readonly buffers: FakeBuffer[] = [];
  /** Indices of the buffers that the driver has, in order. */
  queued: number[] = [];
  done: number[] = [];
  events: Buffer[] = [];
  streaming = false;
  closed = false;

  constructor(
    private readonly node: FakeNode,
    private readonly onReady: (events: number) => void,
  ) {}

  open(): Promise<number> {
    return Promise.resolve(this.node.openErrno);
  }

  close(): Promise<void> {
    this.closed = true;
    return this.node.closing;
  }

  async call(call: NodeCall): Promise<number> {
    this.calls.push(call.kind === 'ioctl' ? { ...call, payload: Buffer.from(call.payload) } : call);
    const held = this.node.held.shift();
    if (held) await held;
    return this.#run(call);
  }

  ioctl(nr: number, payload: Uint8Array): Promise<number> {
    return this.call({ kind: 'ioctl', nr, payload });
  }

  /** The driver finishes the oldest queued buffer. */
  frame(flags = 0): void {
    const index = this.queued.shift();
    if (index === undefined) throw new Error('no buffer is queued');
    Object.assign(this.buffers[index]!, { state: 'done', flags });
    this.done.push(index);
    this.ready(1);
  }

  /** The watcher reports readiness. */
  ready(events: number): void {
    this.onReady(events);
  }

  /** All calls of one kind (a name) or of one ioctl (a number). */
  asked(what: string | number): NodeCall[] {
    return this.calls.filter(
      (call) =>
        call.kind === what ||
        (call.kind === 'ioctl' && call.nr === what) ||
        ('nr' in call && call.nr === what),
    );
  }

  #run(call: NodeCall): Answer {
    switch (call.kind) {
      case 'ioctl':
        return this.#ioctl(
          call.nr,
          Buffer.from(call.payload.buffer, call.payload.byteOffset, call.payload.length),
        );
      case 'buffer':
        return this.#buffer(call);
      case 'dequeueBuffer':
        return this.#dequeue(call);
      case 'dequeueEvent': {
        const event = this.events.shift();
        if (!event) return ENOENT;
        call.event.set(event);
        return 0;
      }
      case 'watch':
        this.watched.push(call.events);
        return 0;
      case 'poll':
        call.ready = this.node.hungUp ? 0x18 : 0;
        return 0;
      case 'controls':
        return this.node.controls(call);
      case 'join':
        return joinPieces(call);
      default:
        return EINVAL;
    }
  }

  #ioctl(nr: number, payload: Buffer): Answer {
    const own = this.node.ioctls.get(nr);
    if (own) return own(payload);
    if (nr === 8) return this.#request(payload);
    if (nr === 92) return this.#create(payload);
    if (nr === 104 && this.node.removes !== null) return this.node.removes ? this.#remove(payload) : ENOTTY;
    if (nr === 18 || nr === 19) {
      if (nr === 18 && this.buffers.length === 0) return EINVAL;
      this.streaming = nr === 18;
      if (nr === 19) this.#cancel();
      return 0;
    }
    return this.node.fallback;
  }

  #request(payload: Buffer): number {
    if (!this.node.memories.includes(payload.readUInt32LE(8))) return EINVAL;
    this.#cancel();
    this.buffers.length = 0;
    const asked = payload.readUInt32LE(0);
    const count = asked === 0 ? 0 : Math.min(Math.max(asked, this.node.leastBuffers), this.node.mostBuffers);
    this.#make(count);
    payload.writeUInt32LE(count, 0);
    payload.writeUInt32LE(0xffff_ffff, 12);
    return 0;
  }

  #create(payload: Buffer): number {
    if (!this.node.memories.includes(payload.readUInt32LE(8))) return EINVAL;
    payload.writeUInt32LE(this.buffers.length, 0);
    this.#make(payload.readUInt32LE(4));
    payload.writeUInt32LE(0xffff_ffff, 224);
    payload.writeUInt32LE(this.node.mostBuffers, 232);
    return 0;
  }

  /** REMOVE_BUFS as vb2 does it: all or none. */
  #remove(payload: Buffer): number {
    const [first, count] = [payload.readUInt32LE(0), payload.readUInt32LE(4)];
    const indices = Array.from({ length: count }, (_, n) => first + n);
    if (indices.some((index) => this.buffers[index]?.state !== 'idle')) return EINVAL;
    for (const index of indices) delete this.buffers[index];
    while (this.buffers.length > 0 && !this.buffers.at(-1)) this.buffers.length--;
    return 0;
  }

  #make(count: number): void {
    for (let n = 0; n < count; n++) this.buffers.push({ state: 'idle', flags: 0 });
  }

  #cancel(): void {
    // A removed buffer leaves a gap, which forEach skips.
    this.buffers.forEach((buffer) => {
      buffer.state = 'idle';
    });
    this.queued = [];
    this.done = [];
  }

  #buffer({ nr, buffer, planes }: NodeCall & { kind: 'buffer' }): number {
    const record = Buffer.from(buffer.buffer, buffer.byteOffset, buffer.length);
    const index = record.readUInt32LE(0);
    const held = this.buffers[index];
    if (!held) return EINVAL;
    if (nr === 15) {
      if (held.state !== 'idle') return EINVAL;
      held.state = 'queued';
      this.queued.push(index);
    }
    this.#fill(record, planes);
    return 0;
  }

  #dequeue({ buffer, planes }: NodeCall & { kind: 'dequeueBuffer' }): number {
    if (this.node.dequeueErrno !== 0) return this.node.dequeueErrno;
    const index = this.done.shift();
    if (index === undefined) return EAGAIN;
    const record = Buffer.from(buffer.buffer, buffer.byteOffset, buffer.length);
    const held = this.buffers[index]!;
    held.state = 'idle';
    record.writeUInt32LE(index, 0);
    record.writeUInt32LE(held.flags, 12);
    this.#fill(record, planes);
    return 0;
  }

  /** Fills in lengths, offsets of the host, and pointers, which the guest must not see. */
  #fill(record: Buffer, planes: Uint8Array | undefined): void {
    const { planeLengths } = this.node;
    record.writeBigUInt64LE(0xdead_beef_0000n, 64);
    if (!planes) {
      record.writeUInt32LE(planeLengths[0]!, 72);
      record.writeUInt32LE(0x8000 * (record.readUInt32LE(0) + 1), 64);
      record.writeUInt32LE(0, 68);
      return;
    }
    const raw = Buffer.from(planes.buffer, planes.byteOffset, planes.length);
    record.writeUInt32LE(planeLengths.length, 72);
    for (const [n, length] of planeLengths.entries()) {
      raw.writeUInt32LE(length, 64 * n + 4);
      raw.writeBigUInt64LE(BigInt(0x9000 * (n + 1)), 64 * n + 8);
    }
  }
}

export class FakeNode {
  readonly path = 'a fake node';
  readonly traits = new Map<string, boolean>();
  readonly files: FakeFile[] = [];
  /** One entry for each of the next calls: the promise that it waits for; null: it does not wait. */
  readonly held: (Promise<unknown> | null)[] = [];
  /** Answers of ioctls that the fake does not know, or that a test changes. */
  readonly ioctls = new Map<number, Ioctl>();
  /** Answer of every other ioctl. */
  fallback = 0;
  openErrno = 0;
  dequeueErrno = 0;
  /** The kernel has unregistered the node: poll(2) of its files gives ERR and HUP. */
  hungUp = false;
  closing: Promise<void> = Promise.resolve();
  /** V4L2_MEMORY_* that REQBUFS accepts. */
  memories = [1, 2];
  mostBuffers = 32;
  /** What the driver makes at least. */
  leastBuffers = 0;
  /** Whether the driver has REMOVE_BUFS; null: it answers as any other ioctl, and removes nothing. */
  removes: boolean | null = null;
  planeLengths = [1000];
  controls: (call: NodeCall & { kind: 'controls' }) => Answer = () => 0;

  /** Number of calls of `reportBusy`. */
  busyReports = 0;

  reportBusy(): void {
    this.busyReports++;
  }

  open(onReady: (events: number) => void): FakeFile {
    const file = new FakeFile(this, onReady);
    this.files.push(file);
    return file;
  }

  /** The file of the last session. */
  get file(): FakeFile {
    return this.files.at(-1)!;
  }

  /** The next call waits until the returned function is called. */
  hold(): () => void {
    let release = () => {};
    this.held.push(
      new Promise<void>((resolve) => {
        release = resolve;
      }),
    );
    return release;
  }

  get host(): HostNode {
    return this as unknown as HostNode;
  }
}
