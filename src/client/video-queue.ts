/** One queue of a session, used as an application would: format, buffers, streaming. */

import { encoded } from '../struct.js';
import { isMultiplanar } from '../v4l2/buffer-type.js';
import { Ioctl } from '../v4l2/ioctls.js';
import {
  BufferFlag,
  fmtdesc,
  format as formatRecord,
  pixFormat,
  pixFormatMplane,
  planePixFormat,
  streamType,
  TimestampFlag,
  VIDEO_MAX_PLANES,
} from '../v4l2/layout.js';
import { fourcc, fourccCode } from '../v4l2/names.js';
import { type BufferAnswer, type BufferRequest, bufferIoctl } from './buffer-ioctls.js';
import { CommandTimeout, DriverError } from './driver-error.js';
import type { Frame, TimestampClock } from './frame.js';
import { type FrameMemory, mmapMemory, userMemory } from './frame-memory.js';
import type { GuestDriver } from './guest-driver.js';
import { type ImageFormat, readImageFormat } from './image-format.js';

/** MMAP needs SHM region 0. USERPTR needs a device that takes guest pages. */
export type MemoryKind = 'mmap' | 'userptr';
const allocators = { mmap: mmapMemory, userptr: userMemory } as const;

/** Most formats that are read: a device that never ends its list must not keep the client busy forever. */
const MAX_FORMATS = 256;
/** What the timestamp field of a buffer's flags says. */
const clocks: Readonly<Record<number, TimestampClock>> = {
  [TimestampFlag.MONOTONIC]: 'monotonic',
  [TimestampFlag.COPY]: 'copy',
};
/** V4L2_FMT_FLAG_COMPRESSED. */
const COMPRESSED = 0x0001;

export interface OfferedFormat {
  readonly fourcc: string;
  readonly compressed: boolean;
}

export interface FormatRequest {
  readonly fourcc: string;
  readonly width: number;
  readonly height: number;
  /** Bytes of the largest frame of a compressed format; 0: the device chooses. */
  readonly sizeimage?: number;
}

/** Contents of a buffer of an OUTPUT queue. */
export interface Load {
  readonly planes: readonly Uint8Array[];
  /** Microseconds. A mem-to-mem device copies it to the frame that it makes from this one. */
  readonly timestamp: number;
}

export class VideoQueue {
  /** The device's answer to the last readFormat() or setFormat(). */
  format!: ImageFormat;
  streaming = false;
  #memory: FrameMemory | undefined;

  constructor(
    readonly driver: GuestDriver,
    readonly sessionId: number,
    readonly type: number,
  ) {}

  /** How many buffers are allocated. */
  get count(): number {
    return this.#memory?.count ?? 0;
  }

  get isMultiplanar(): boolean {
    return isMultiplanar(this.type);
  }

  /** The formats that the device offers for this queue (ENUM_FMT). They may depend on the current formats. */
  async *formats(): AsyncGenerator<OfferedFormat, void, undefined> {
    for (let index = 0; index < MAX_FORMATS; index++) {
      const wanted = { index, type: this.type };
      try {
        const answer = await this.driver.call(this.sessionId, Ioctl.ENUM_FMT, fmtdesc, wanted);
        yield { fourcc: fourcc(answer.pixelformat), compressed: (answer.flags & COMPRESSED) !== 0 };
      } catch (error) {
        if (!(error instanceof DriverError) || error instanceof CommandTimeout) throw error;
        return;
      }
    }
  }

  /** The FOURCCs of formats(). */
  async fourccs(): Promise<string[]> {
    const found: string[] = [];
    for await (const { fourcc } of this.formats()) found.push(fourcc);
    return found;
  }

  /** G_FMT. */
  async readFormat(): Promise<ImageFormat> {
    const blank = encoded(formatRecord, { type: this.type });
    return this.#took(await this.driver.ioctl(this.sessionId, Ioctl.G_FMT, blank));
  }

  /** TRY_FMT, then S_FMT with its answer. The device may choose another format than the requested one. */
  async setFormat(request: FormatRequest): Promise<ImageFormat> {
    const wanted = encoded(formatRecord, { type: this.type, fmt: this.#request(request) });
    const tried = await this.driver.ioctl(this.sessionId, Ioctl.TRY_FMT, wanted);
    return this.#took(await this.driver.ioctl(this.sessionId, Ioctl.S_FMT, tried));
  }

  /** Allocates buffers for the current format. The device may allocate more or fewer than `wanted`. */
  async allocate(memory: MemoryKind, wanted: number): Promise<void> {
    this.#memory = await allocators[memory](this, this.format, wanted);
  }

  /** QBUF. `load`: contents for a buffer of an OUTPUT queue. RangeError if they do not fit into the buffer. */
  async queue(index: number, load?: Load): Promise<void> {
    const request = this.#memory!.request(index);
    const wanted = load ? this.#loaded(index, request, load) : request;
    await bufferIoctl(this.driver, this.sessionId, Ioctl.QBUF, wanted);
  }

  /** QBUF of every buffer. */
  async queueAll(): Promise<void> {
    for (let index = 0; index < this.count; index++) await this.queue(index);
  }

  /** STREAMON. */
  async on(): Promise<void> {
    await this.#stream(Ioctl.STREAMON);
    this.streaming = true;
  }

  /** STREAMOFF, if the queue streams. The device returns every buffer. */
  async off(): Promise<void> {
    if (!this.streaming) return;
    this.streaming = false;
    await this.#stream(Ioctl.STREAMOFF);
  }

  /** Stops streaming, unmaps the buffers and frees them. */
  async release(): Promise<void> {
    await this.off();
    await this.#memory?.release();
    this.#memory = undefined;
  }

  /** The frame in the buffer of a DQBUF event of this queue. */
  frame({ buffer, planes: records }: BufferAnswer): Frame {
    const used = this.isMultiplanar
      ? records.slice(0, this.format.planes.length)
      : [{ bytesused: buffer.bytesused, dataOffset: 0 }];
    const planes = used.map(({ bytesused, dataOffset }, plane) =>
      this.#memory!.bytes(buffer.index, plane, dataOffset, Math.max(0, bytesused - dataOffset)),
    );
    const time = Buffer.from(buffer.timestamp);
    return {
      index: buffer.index,
      sequence: buffer.sequence,
      timestamp: Number(time.readBigInt64LE(0)) + Number(time.readBigInt64LE(8)) / 1e6,
      bytesused: planes.reduce((sum, plane) => sum + plane.length, 0),
      clock: clocks[buffer.flags & TimestampFlag.MASK] ?? 'unknown',
      damaged: (buffer.flags & BufferFlag.ERROR) !== 0,
      last: (buffer.flags & BufferFlag.LAST) !== 0,
      planes,
    };
  }

  #took(answer: Uint8Array): ImageFormat {
    this.format = readImageFormat(answer, this.isMultiplanar);
    return this.format;
  }

  /** The union of struct v4l2_format. The device computes the fields that are 0. */
  #request({ fourcc, width, height, sizeimage = 0 }: FormatRequest): Buffer {
    const common = { width, height, pixelformat: fourccCode(fourcc) };
    if (!this.isMultiplanar) return encoded(pixFormat, { ...common, sizeimage });
    const planeFmt = Buffer.alloc(VIDEO_MAX_PLANES * planePixFormat.size);
    planeFmt.set(encoded(planePixFormat, { sizeimage }));
    return encoded(pixFormatMplane, { ...common, planeFmt, numPlanes: sizeimage > 0 ? 1 : 0 });
  }

  #loaded(index: number, request: BufferRequest, { planes, timestamp }: Load): BufferRequest {
    for (const [plane, bytes] of planes.entries()) {
      const room = this.format.planes[plane]?.sizeimage ?? 0;
      if (bytes.length > room)
        throw new RangeError(`a frame of ${bytes.length} bytes does not fit a buffer of ${room}`);
      this.#memory!.bytes(index, plane, 0, bytes.length).set(bytes);
    }
    const time = Buffer.alloc(16);
    time.writeBigInt64LE(BigInt(Math.floor(timestamp / 1e6)), 0);
    time.writeBigInt64LE(BigInt(timestamp % 1e6), 8);
    const buffer = { ...request.buffer, timestamp: time };
    if (!request.planes) return { ...request, buffer: { ...buffer, bytesused: planes[0]!.length } };
    const filled = request.planes.map((plane, i) => ({ ...plane, bytesused: planes[i]!.length }));
    return { ...request, buffer, planes: filled };
  }

  async #stream(nr: number): Promise<void> {
    await this.driver.call(this.sessionId, nr, streamType, { type: this.type });
  }
}
