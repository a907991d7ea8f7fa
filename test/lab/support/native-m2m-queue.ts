/**
 * A queue of a mem-to-mem node used as a program of the host uses it, without the bridge: MMAP buffers of one plane.
 */
import assert from 'node:assert/strict';
import { type ImageFormat, readImageFormat } from '../../../src/client/image-format.js';
import type { NodeCall, Region } from '../../../src/native.js';
import { failure, type Result } from '../../../src/result.js';
import { encoded } from '../../../src/struct.js';
import { isMultiplanar } from '../../../src/v4l2/buffer-type.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import {
  buffer as bufferRecord,
  format as formatRecord,
  Memory,
  plane as planeRecord,
  requestBuffers,
} from '../../../src/v4l2/layout.js';
import { formatRequest } from './guest-queue.js';
import type { NativeNode } from './native-node.js';

const MMAP = Memory.MMAP;

/** What QBUF sets besides the buffer's index. */
export interface Filling {
  readonly bytes?: Uint8Array;
  /** Microseconds. */
  readonly timestamp?: number;
  /** Descriptor of a media request. */
  readonly request?: number;
}

export interface QueuedAnswer {
  readonly errno: number;
  readonly flags: number;
  readonly requestFd: number;
}

export interface Dequeued {
  readonly index: number;
  readonly flags: number;
  readonly sequence: number;
  readonly timestamp: number;
  /** A copy of the payload. */
  readonly bytes: Buffer;
}

export class MappedQueue {
  format!: ImageFormat;
  capabilities = 0;
  #regions: Region[] = [];

  constructor(
    readonly node: NativeNode,
    readonly type: number,
  ) {}

  get indices(): number[] {
    return [...this.#regions.keys()];
  }

  /** S_FMT; the driver may round the size. */
  async setFormat(fourcc: string, width: number, height: number): Promise<void> {
    await this.#ask(Ioctl.S_FMT, formatRequest(this.type, fourcc, width, height));
    assert.equal(this.format.fourcc, fourcc);
  }

  /** G_FMT. */
  readFormat(): Promise<void> {
    return this.#ask(Ioctl.G_FMT, encoded(formatRecord, { type: this.type }));
  }

  async #ask(nr: number, record: Buffer): Promise<void> {
    const { errno, payload } = await this.node.ioctl(nr, record);
    assert.equal(errno, 0, `ioctl ${nr}`);
    this.format = readImageFormat(payload, isMultiplanar(this.type));
    assert.equal(this.format.planes.length, 1);
  }

  /** REQBUFS, then maps each buffer. Existing mappings are unmapped first. */
  async request(count: number): Promise<void> {
    this.unmap();
    const wanted = { count, type: this.type, memory: MMAP };
    const granted = await this.node.call(Ioctl.REQBUFS, requestBuffers, wanted);
    this.capabilities = granted.capabilities;
    if (count > 0) assert.ok(granted.count >= count, `${granted.count} buffers`);
    for (let index = 0; index < granted.count; index++) this.#regions.push(await this.#map(index));
  }

  /** Unmaps all buffers. A mapping would keep the driver's module in use. */
  unmap(): void {
    for (const region of this.#regions.splice(0)) region.close();
  }

  async #map(index: number): Promise<Region> {
    const { record, planes } = this.#records(index);
    const errno = await this.node.submit({ kind: 'buffer', nr: Ioctl.QUERYBUF, buffer: record, ...planes });
    assert.equal(errno, 0, 'QUERYBUF');
    const [holder, at] = planes ? [planes.planes, planeRecord.offset.m] : [record, bufferRecord.offset.m];
    const { length } = planes ? planeRecord.read(planes.planes) : bufferRecord.read(record);
    const call: NodeCall & { kind: 'map' } = { kind: 'map', offset: holder.readUInt32LE(at), length };
    assert.equal(await this.node.submit(call), 0, 'mmap');
    return call.region!;
  }

  /** QBUF. Returns the errno, and the flags and the request of the record afterwards. */
  async ask(index: number, { bytes, timestamp = 0, request }: Filling = {}): Promise<QueuedAnswer> {
    if (bytes) this.#window(index).set(bytes);
    const { record, planes } = this.#records(index, bytes?.length ?? 0, timestamp);
    const call = { kind: 'buffer', nr: Ioctl.QBUF, buffer: record, ...planes } as const;
    const errno = await this.node.submit(request === undefined ? call : { ...call, request });
    const { flags, requestFd } = bufferRecord.read(record);
    return { errno, flags, requestFd };
  }

  async queue(index: number, filling: Filling = {}): Promise<void> {
    assert.equal((await this.ask(index, filling)).errno, 0, `QBUF of ${index}`);
  }

  on(): Promise<void> {
    return this.#stream(Ioctl.STREAMON);
  }

  off(): Promise<void> {
    return this.#stream(Ioctl.STREAMOFF);
  }

  async #stream(nr: number): Promise<void> {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(this.type);
    assert.equal((await this.node.ioctl(nr, payload)).errno, 0, `ioctl ${nr}`);
  }

  /** DQBUF. */
  async dequeue(): Promise<Result<Dequeued>> {
    const { record, planes } = this.#records(0);
    const errno = await this.node.submit({ kind: 'dequeueBuffer', buffer: record, ...planes });
    if (errno !== 0) return failure(errno);
    const { index, flags, sequence, timestamp, requestFd, bytesused } = bufferRecord.read(record);
    assert.equal(requestFd, 0);
    const used = planes ? planeRecord.read(planes.planes).bytesused : bytesused;
    const bytes = Buffer.from(this.#window(index).subarray(0, used));
    return { index, flags, sequence, timestamp: microseconds(timestamp), bytes };
  }

  #window(index: number): Uint8Array {
    return new Uint8Array(this.#regions[index]!.windows[0]!);
  }

  #records(index: number, bytesused = 0, timestamp = 0) {
    const planar = isMultiplanar(this.type);
    const time = Buffer.alloc(16);
    time.writeBigInt64LE(BigInt(Math.floor(timestamp / 1e6)), 0);
    time.writeBigInt64LE(BigInt(timestamp % 1e6), 8);
    const fields = { index, type: this.type, memory: MMAP, timestamp: time, field: 1 };
    const record = encoded(bufferRecord, planar ? { ...fields, length: 1 } : { ...fields, bytesused });
    return { record, planes: planar ? { planes: encoded(planeRecord, { bytesused }) } : undefined };
  }
}

function microseconds(timestamp: Uint8Array): number {
  const bytes = Buffer.from(timestamp);
  return Number(bytes.readBigInt64LE(0)) * 1e6 + Number(bytes.readBigInt64LE(8));
}
