/**
 * Stands before the driver of a muted session and answers for its CAPTURE queues as vb2 would, while the driver does not
 * stream: buffers that the guest queues are held here, and come back black at the rate of the camera, or not at all. The rest
 * of the session is as always: it makes the same calls.
 */
import { Errno } from '../../errno.js';
import { type NodeCall, NodeEvents } from '../../native.js';
import { encoded, NONE } from '../../struct.js';
import { isCapture } from '../../v4l2/buffer-type.js';
import { Ioctl } from '../../v4l2/ioctls.js';
import {
  BufferFlag,
  BufferType,
  buffer,
  format,
  plane,
  removeBuffers,
  requestBuffers,
  streamparm,
  TimestampFlag,
} from '../../v4l2/layout.js';
import type { BufferQueue } from '../queues/buffer-queue.js';
import type { VideoBuffer } from '../queues/video-buffer.js';
import type { CallFilter } from '../session-file.js';
import { type BlackFrame, blackFrame, emptyPlane } from './black-frame.js';
import { blacken, type Painter, type Run } from './blackening.js';

/** What a guest gets of a muted device: black frames, or none. */
export type MuteWith = 'black' | 'none';

/** A session, as far as its muted file depends on it. */
export interface MutedSession extends Painter {
  readonly queues: ReadonlyMap<number, BufferQueue>;
  /** Dequeues what is ready, as soon as the session is idle. */
  wantDrain(): void;
}

/** One CAPTURE queue while it is muted. */
interface Muted {
  /** Buffers that the guest has queued, in order, and the QBUF that gives them to the driver; null: it cannot be repeated. */
  readonly held: Map<number, NodeCall | null>;
  /** Buffers that are black already. */
  readonly black: WeakSet<VideoBuffer>;
  frame: BlackFrame | null;
  isStreaming: boolean;
  /** A frame is due. */
  isDue: boolean;
  sequence: number;
  timer: NodeJS.Timeout | undefined;
}

type BufferCall = NodeCall & { kind: 'buffer' };

/** Milliseconds between two frames, if the camera does not tell, and the bounds of what it may tell. */
const INTERVAL_MS = { unknown: 1000 / 30, least: 1000 / 120, most: 1000 } as const;
/** V4L2_FIELD_NONE, TOP, BOTTOM, ALTERNATE. */
const Field = { NONE: 1, TOP: 2, BOTTOM: 3, ALTERNATE: 7 } as const;

export class MutedFile implements CallFilter {
  readonly #queues = new Map<number, Muted>();

  /** `run`: runs a call at the driver. */
  constructor(
    private readonly session: MutedSession,
    private readonly run: Run,
    readonly how: MuteWith,
  ) {}

  call(call: NodeCall): Promise<number> | null {
    if (call.kind === 'buffer') return this.#buffer(call);
    if (call.kind === 'dequeueBuffer') return this.#dequeue(call);
    // The driver's queue does not stream. If it is polled for frames, vb2 starts read() emulation.
    if (call.kind === 'watch') return this.run({ ...call, events: call.events & ~NodeEvents.IN });
    return call.kind === 'ioctl' ? (this.#ioctls[call.nr]?.(call.payload) ?? null) : null;
  }

  end(): void {
    for (const muted of this.#queues.values()) this.#stop(muted);
  }

  /** The buffers that the driver had, and which it has not any more. `isStreaming`: the guest has started the stream. */
  async take(type: number, held: ReadonlyMap<number, NodeCall | null>, isStreaming: boolean): Promise<void> {
    const muted = this.#of(type);
    for (const [index, call] of held) muted.held.set(index, call);
    muted.sequence = this.#next(type);
    if (isStreaming) await this.#start(type);
  }

  /** What the driver has to get: the held buffers of a queue, in order. */
  held(type: number): ReadonlyMap<number, NodeCall | null> {
    return this.#of(type).held;
  }

  /** Ioctls that concern a queue, by number. null: the driver answers. */
  readonly #ioctls: Readonly<Record<number, (payload: Uint8Array) => Promise<number> | null>> = {
    [Ioctl.STREAMON]: (payload) => {
      const type = Buffer.from(payload).readUInt32LE(0);
      // Without buffers the driver streams nothing, and it says why not.
      const has = (this.session.queues.get(type)?.buffers.size ?? 0) > 0;
      return isCapture(type) && has ? this.#start(type) : null;
    },
    [Ioctl.STREAMOFF]: (payload) => {
      const type = Buffer.from(payload).readUInt32LE(0);
      if (isCapture(type)) this.#forget(type);
      return null;
    },
    [Ioctl.REQBUFS]: (payload) => {
      const { type } = requestBuffers.read(payload);
      return isCapture(type) ? this.#request(type, payload) : null;
    },
    [Ioctl.REMOVE_BUFS]: (payload) => {
      const { index, count, type } = removeBuffers.read(payload);
      const held = isCapture(type) ? [...this.#of(type).held.keys()] : [];
      const isTaken = held.some((each) => each >= index && each < index + count);
      return isTaken ? Promise.resolve(Errno.EBUSY) : null;
    },
  };

  async #request(type: number, payload: Uint8Array): Promise<number> {
    if (this.#of(type).isStreaming) return Errno.EBUSY;
    const errno = await this.run({ kind: 'ioctl', nr: Ioctl.REQBUFS, payload });
    if (errno === 0) this.#forget(type);
    return errno;
  }

  #buffer(call: BufferCall): Promise<number> | null {
    const { type, index } = buffer.read(call.buffer);
    if (!isCapture(type)) return null;
    const { held } = this.#of(type);
    if (call.nr === Ioctl.QUERYBUF) return this.#query(call, held.has(index));
    if (held.has(index)) return Promise.resolve(Errno.EINVAL);
    return call.nr === Ioctl.QBUF ? this.#hold(held, index, call) : null;
  }

  async #query(call: BufferCall, isHeld: boolean): Promise<number> {
    const errno = await this.run(call);
    if (errno === 0 && isHeld) setFlags(call.buffer, BufferFlag.QUEUED);
    return errno;
  }

  async #hold(held: Muted['held'], index: number, call: BufferCall): Promise<number> {
    // A descriptor is lent for this call only.
    held.set(index, call.descriptors || call.request !== undefined ? null : call);
    setFlags(call.buffer, BufferFlag.QUEUED | TimestampFlag.MONOTONIC);
    return 0;
  }

  #dequeue(call: NodeCall & { kind: 'dequeueBuffer' }): Promise<number> | null {
    const { type } = buffer.read(call.buffer);
    if (!isCapture(type)) return null;
    const muted = this.#of(type);
    if (!muted.isStreaming) return Promise.resolve(Errno.EINVAL);
    return this.#tell(type, muted, call.buffer, call.planes);
  }

  async #tell(type: number, muted: Muted, record: Uint8Array, planes?: Uint8Array): Promise<number> {
    const { frame, held, black } = muted;
    const [index] = held.keys();
    const queue = this.session.queues.get(type);
    const vb = index === undefined ? undefined : queue?.buffers.get(index);
    if (!muted.isDue || !frame || !queue || !vb) return Errno.EAGAIN;
    muted.isDue = false;
    // Guest pages may be others each time.
    if (!black.has(vb) || vb.planes.some(({ pages }) => pages)) {
      if (!(await this.#paint(queue, vb, frame))) {
        // Frames stop: what the buffer has is not black.
        muted.frame = null;
        return Errno.EAGAIN;
      }
      black.add(vb);
    }
    held.delete(vb.index);
    describe(frame, queue, vb, muted.sequence++, record, planes);
    return 0;
  }

  /** Overwrites what the driver may have written into a buffer. False: it cannot be reached. */
  wipe(queue: BufferQueue, vb: VideoBuffer): Promise<boolean> {
    return this.#paint(queue, vb, this.#of(queue.type).frame);
  }

  #paint(queue: BufferQueue, vb: VideoBuffer, frame: BlackFrame | null): Promise<boolean> {
    return blacken(this.session, this.run, queue, vb, (number) => frame?.planes[number] ?? emptyPlane);
  }

  /** The guest's stream starts. */
  async #start(type: number): Promise<number> {
    const muted = this.#of(type);
    if (muted.isStreaming) return 0;
    muted.isStreaming = true;
    if (this.how === 'none') return 0;
    const current = encoded(format, { type });
    const errno = await this.run({ kind: 'ioctl', nr: Ioctl.G_FMT, payload: current });
    muted.frame = errno === 0 ? blackFrame(current) : null;
    if (muted.frame) this.#pace(muted, await this.#interval(type));
    return 0;
  }

  /** Milliseconds between two frames, by G_PARM. */
  async #interval(type: number): Promise<number> {
    const payload = encoded(streamparm, { type });
    const isVideo = type === BufferType.VIDEO_CAPTURE || type === BufferType.VIDEO_CAPTURE_MPLANE;
    const errno = isVideo ? await this.run({ kind: 'ioctl', nr: Ioctl.G_PARM, payload }) : Errno.EINVAL;
    const { numerator, denominator } = streamparm.read(payload);
    if (errno !== 0 || numerator === 0 || denominator === 0) return INTERVAL_MS.unknown;
    return Math.min(Math.max((1000 * numerator) / denominator, INTERVAL_MS.least), INTERVAL_MS.most);
  }

  #pace(muted: Muted, interval: number): void {
    let due = performance.now();
    const next = (): void => {
      due = Math.max(due + interval, performance.now());
      muted.timer = setTimeout(() => {
        muted.isDue = true;
        if (muted.held.size > 0) this.session.wantDrain();
        next();
      }, due - performance.now());
    };
    next();
  }

  #stop(muted: Muted): void {
    clearTimeout(muted.timer);
    muted.isStreaming = false;
    muted.isDue = false;
  }

  /** The guest has every buffer again. */
  #forget(type: number): void {
    const muted = this.#of(type);
    this.#stop(muted);
    muted.held.clear();
    muted.sequence = 0;
  }

  #of(type: number): Muted {
    const known = this.#queues.get(type);
    if (known) return known;
    const state = { frame: null, isStreaming: false, isDue: false, sequence: 0, timer: undefined };
    const muted: Muted = { held: new Map(), black: new WeakSet(), ...state };
    this.#queues.set(type, muted);
    return muted;
  }

  /** The sequence number behind the last frame of the driver. */
  #next(type: number): number {
    const last = this.session.queues.get(type)?.lastFrame;
    return last ? (buffer.read(last).sequence + 1) >>> 0 : 0;
  }
}

function setFlags(record: Uint8Array, flags: number): void {
  const fields = buffer.read(record);
  buffer.write(record, { ...fields, flags: (fields.flags | flags) >>> 0 });
}

/** The record that DQBUF would return for a black frame. */
function describe(
  { planes, field }: BlackFrame,
  { isMultiplanar, type }: BufferQueue,
  vb: VideoBuffer,
  sequence: number,
  record: Uint8Array,
  planeRecords: Uint8Array | undefined,
): void {
  const used = (number: number): number =>
    Math.min(planes[number]?.used ?? 0, vb.planes[number]?.length ?? 0);
  const fieldNow = sequence % 2 === 0 ? Field.TOP : Field.BOTTOM;
  buffer.write(record, {
    ...buffer.read(record),
    index: vb.index,
    type,
    bytesused: isMultiplanar ? 0 : used(0),
    flags: TimestampFlag.MONOTONIC,
    field: field === Field.ALTERNATE ? fieldNow : field || Field.NONE,
    timestamp: monotonic(),
    sequence: sequence >>> 0,
    length: isMultiplanar ? vb.planes.length : (vb.planes[0]?.length ?? 0),
  });
  for (const [number, { length }] of isMultiplanar && planeRecords ? vb.planes.entries() : []) {
    const own = { bytesused: used(number), length, m: NONE, dataOffset: 0, reserved: NONE };
    plane.write(planeRecords!, own, number * plane.size);
  }
}

/** CLOCK_MONOTONIC as struct timeval. */
function monotonic(): Uint8Array {
  const now = process.hrtime.bigint();
  const bytes = Buffer.alloc(16);
  bytes.writeBigInt64LE(now / 1_000_000_000n, 0);
  bytes.writeBigInt64LE((now / 1000n) % 1_000_000n, 8);
  return bytes;
}
