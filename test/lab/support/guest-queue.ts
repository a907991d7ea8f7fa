/** One buffer queue of a guest's session, ioctl by ioctl. Every DQBUF event is checked against the protocol. */
import assert from 'node:assert/strict';
import { type BufferAnswer, type BufferRequest, bufferIoctl } from '../../../src/client/buffer-ioctls.js';
import type { MediaEvent } from '../../../src/client/event-lane.js';
import type { GuestDriver, Mapping } from '../../../src/client/guest-driver.js';
import { type ImageFormat, readImageFormat } from '../../../src/client/image-format.js';
import { encoded } from '../../../src/struct.js';
import { isMultiplanar } from '../../../src/v4l2/buffer-type.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import {
  BufferFlag,
  BufferType,
  createBuffers,
  format as formatRecord,
  Memory,
  pixFormat,
  requestBuffers,
  streamparm,
} from '../../../src/v4l2/layout.js';
import { fourccCode } from '../../../src/v4l2/names.js';

export type DqbufEvent = MediaEvent & { kind: 'dqbuf' };

/** Seconds of the bytes of a v4l2_timeval. */
export function seconds(timestamp: Uint8Array): number {
  const bytes = Buffer.from(timestamp);
  return Number(bytes.readBigInt64LE(0)) + Number(bytes.readBigInt64LE(8)) / 1e6;
}

/** width, height and pixelformat have the same offsets in both kinds of format. */
export function formatRequest(type: number, fourcc: string, width: number, height: number): Buffer {
  const fmt = Buffer.alloc(12);
  fmt.writeUInt32LE(width, 0);
  fmt.writeUInt32LE(height, 4);
  fmt.writeUInt32LE(fourccCode(fourcc), 8);
  return encoded(formatRecord, { type, fmt });
}

/** The same format, single-planar, with another sizeimage. */
export function sized(format: Uint8Array, sizeimage: number): Buffer {
  const copy = Buffer.from(format);
  copy.writeUInt32LE(sizeimage, formatRecord.offset.fmt + pixFormat.offset.sizeimage);
  return copy;
}

export class GuestQueue {
  format!: ImageFormat;
  /** The answer of S_FMT. */
  formatBytes!: Buffer;
  /** Mapped planes by buffer index. */
  readonly mappings = new Map<number, Mapping[]>();
  /** Events of other kinds and queues that off() has found. */
  readonly kept: MediaEvent[] = [];
  /** V4L2_MEMORY_*. */
  readonly memory: number = Memory.MMAP;
  #last: { sequence: number; time: number } | undefined;
  /** Sequence numbers of this stream. */
  readonly #sequences = new Set<number>();
  #isOrdered = true;

  constructor(
    readonly driver: GuestDriver,
    readonly session: number,
    readonly type: number,
  ) {}

  /**
   * A queue of a USB camera. uvcvideo copies frames on all processors, and returns each one when its last part has been
   * copied. On a busy machine a frame may come before an earlier one, natively too.
   */
  static ofCamera(driver: GuestDriver, session: number): GuestQueue {
    const queue = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
    queue.#isOrdered = false;
    return queue;
  }

  async setFormat(fourcc: string, width: number, height: number): Promise<void> {
    const wanted = formatRequest(this.type, fourcc, width, height);
    this.formatBytes = await this.driver.ioctl(this.session, Ioctl.S_FMT, wanted);
    this.format = readImageFormat(this.formatBytes, isMultiplanar(this.type));
    assert.equal(this.format.fourcc, fourcc);
    assert.deepEqual([this.format.width, this.format.height], [width, height]);
  }

  async setRate(framesPerSecond: number): Promise<void> {
    const wanted = { type: this.type, numerator: 1, denominator: framesPerSecond };
    const set = await this.driver.call(this.session, Ioctl.S_PARM, streamparm, wanted);
    assert.equal(set.denominator / set.numerator, framesPerSecond);
  }

  ioctl(nr: number, payload: Uint8Array): Promise<Buffer> {
    return this.driver.ioctl(this.session, nr, payload);
  }

  request(count: number, memory: number = this.memory) {
    const { type } = this;
    return this.driver.call(this.session, Ioctl.REQBUFS, requestBuffers, { count, type, memory });
  }

  create(count: number, format = this.formatBytes, memory: number = this.memory) {
    return this.driver.call(this.session, Ioctl.CREATE_BUFS, createBuffers, { count, memory, format });
  }

  query(index: number): Promise<BufferAnswer> {
    return this.buffer(Ioctl.QUERYBUF, index);
  }

  prepare(index: number): Promise<BufferAnswer> {
    return this.buffer(Ioctl.PREPARE_BUF, index);
  }

  queue(index: number, more: Partial<BufferRequest['buffer']> = {}): Promise<BufferAnswer> {
    return this.buffer(Ioctl.QBUF, index, more);
  }

  buffer(
    nr: number,
    index: number,
    more: Partial<BufferRequest['buffer']> = {},
    planes?: NonNullable<BufferRequest['planes']>,
  ): Promise<BufferAnswer> {
    const buffer = { index, type: this.type, memory: this.memory, ...more };
    return bufferIoctl(this.driver, this.session, nr, {
      buffer,
      ...(isMultiplanar(this.type) && { planes: planes ?? this.format.planes.map(() => ({})) }),
    });
  }

  /** The mmap offsets of a buffer, one for each plane. */
  async mmapOffsets(index: number): Promise<number[]> {
    const { buffer, planes } = await this.query(index);
    const holders = isMultiplanar(this.type) ? planes : [buffer];
    return holders.map(({ m }) => Buffer.from(m).readUInt32LE());
  }

  async map(index: number): Promise<void> {
    const mapped: Mapping[] = [];
    for (const mmapOffset of await this.mmapOffsets(index))
      mapped.push(await this.driver.mmap(this.session, mmapOffset));
    this.mappings.set(index, mapped);
  }

  async unmap(index: number): Promise<void> {
    for (const { driverAddress } of this.mappings.get(index) ?? []) await this.driver.munmap(driverAddress);
    this.mappings.delete(index);
  }

  /** REQBUFS, then maps and queues all buffers, STREAMON. */
  async start(count: number): Promise<void> {
    const granted = await this.request(count);
    assert.equal(granted.count, count);
    for (let index = 0; index < count; index++) await this.map(index);
    for (let index = 0; index < count; index++) await this.queue(index);
    await this.on();
  }

  async on(): Promise<void> {
    this.#last = undefined;
    this.#sequences.clear();
    await this.stream(Ioctl.STREAMON);
  }

  /** STREAMOFF. As the Linux driver, forgets the frames that the program has not taken yet. */
  async off(): Promise<void> {
    await this.stream(Ioctl.STREAMOFF);
    while (this.driver.waitingEvents(this.session) > 0) {
      const event = await this.driver.nextEvent(this.session);
      if (event.kind !== 'dqbuf' || event.buffer.type !== this.type) this.kept.push(event);
    }
  }

  async stream(nr: number): Promise<void> {
    const type = Buffer.alloc(4);
    type.writeUInt32LE(this.type);
    await this.driver.ioctl(this.session, nr, type);
  }

  /** Unmaps everything and frees the buffers. */
  async release(): Promise<void> {
    for (const index of [...this.mappings.keys()]) await this.unmap(index);
    await this.request(0);
  }

  /** The next event of the session, which must be a frame. */
  async next(timeout = 5000): Promise<DqbufEvent> {
    const event = await this.driver.nextEvent(this.session, timeout);
    assert.ok(event.kind === 'dqbuf', `a ${event.kind} event instead of a frame`);
    this.verify(event);
    return event;
  }

  /** The planes of a buffer as the guest sees them, with their full length. */
  view(index: number): Uint8Array[] {
    const mapped = this.mappings.get(index)!;
    return mapped.map(({ driverAddress, length }) => this.driver.window(driverAddress, length));
  }

  /** The used bytes of a frame's planes as the guest sees them. */
  bytes({ buffer, planes }: DqbufEvent): Uint8Array[] {
    const single = [{ bytesused: buffer.bytesused, dataOffset: 0 }];
    const used = isMultiplanar(this.type) ? planes.slice(0, this.format.planes.length) : single;
    return used.map(({ bytesused, dataOffset }, plane) => {
      const { driverAddress } = this.mappings.get(buffer.index)![plane]!;
      return this.driver.window(driverAddress + dataOffset, bytesused - dataOffset);
    });
  }

  /** Checks what must be true of every frame. */
  verify({ buffer, planes }: DqbufEvent): void {
    assert.equal(buffer.type, this.type);
    assert.equal(buffer.memory, this.memory);
    assert.equal(Buffer.from(buffer.m).readBigUInt64LE(), 0n, 'a pointer or offset in an event');
    assert.equal(buffer.requestFd, 0);
    assert.equal(buffer.reserved2, 0);
    const { QUEUED, DONE, REQUEST_FD, IN_REQUEST } = BufferFlag;
    assert.equal(buffer.flags & (QUEUED | DONE | REQUEST_FD | IN_REQUEST), 0);
    for (const { m, reserved } of planes) {
      assert.equal(Buffer.from(m).readBigUInt64LE(), 0n, 'a pointer or offset in a plane of an event');
      assert.ok(reserved.every((byte) => byte === 0));
    }
    this.#verifyOrder(buffer.sequence, seconds(buffer.timestamp));
  }

  #verifyOrder(sequence: number, time: number): void {
    if (!this.#isOrdered) {
      assert.ok(!this.#sequences.has(sequence), `frame ${sequence} comes twice`);
      this.#sequences.add(sequence);
      return;
    }
    if (this.#last) {
      // vivid gives a number twice if it needed longer than half a period for a picture.
      assert.ok(sequence >= this.#last.sequence, 'sequence numbers do not go back');
      assert.ok(time >= this.#last.time, 'timestamps do not go back');
    }
    this.#last = { sequence, time };
  }
}
