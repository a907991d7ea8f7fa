/**
 * An MMAP queue as a program of the host uses it, without the bridge, with the same methods as a guest's queue
 * (guest-queue.ts).
 */
import assert from 'node:assert/strict';
import { type BufferAnswer, readBuffer } from '../../../src/client/buffer-ioctls.js';
import { type ImageFormat, readImageFormat } from '../../../src/client/image-format.js';
import type { NodeCall, Region } from '../../../src/native.js';
import { encoded } from '../../../src/struct.js';
import { isMultiplanar } from '../../../src/v4l2/buffer-type.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import {
  buffer as bufferRecord,
  Memory,
  plane as planeRecord,
  requestBuffers,
  VIDEO_MAX_PLANES,
} from '../../../src/v4l2/layout.js';
import { eventually } from '../../addon/support/process.js';
import { formatRequest, type GuestQueue } from './guest-queue.js';
import type { NativeNode } from './native-node.js';

/** The methods that both kinds of queue have. */
export type AnyQueue = Pick<
  GuestQueue,
  'type' | 'setFormat' | 'ioctl' | 'format' | 'map' | 'view' | 'on' | 'off' | 'release'
> & {
  request(count: number): Promise<{ count: number }>;
  queue(index: number, more?: Partial<BufferAnswer['buffer']>): Promise<BufferAnswer>;
  next(): Promise<BufferAnswer>;
};

export class HostQueue implements AnyQueue {
  format!: ImageFormat;
  readonly #regions = new Map<number, Region[]>();

  /** Whatever happens in `use`, nothing stays mapped. */
  static async with<T>(node: NativeNode, type: number, use: (queue: HostQueue) => Promise<T>): Promise<T> {
    const queue = new HostQueue(node, type);
    try {
      return await use(queue);
    } finally {
      queue.unmap();
    }
  }

  constructor(
    readonly node: NativeNode,
    readonly type: number,
  ) {}

  async setFormat(fourcc: string, width: number, height: number): Promise<void> {
    const payload = await this.ioctl(Ioctl.S_FMT, formatRequest(this.type, fourcc, width, height));
    this.format = readImageFormat(payload, isMultiplanar(this.type));
  }

  async ioctl(nr: number, request: Uint8Array): Promise<Buffer> {
    const { errno, payload } = await this.node.ioctl(nr, request);
    assert.equal(errno, 0, `ioctl ${nr}`);
    return payload;
  }

  async request(count: number): Promise<{ count: number }> {
    return this.node.call(Ioctl.REQBUFS, requestBuffers, { count, type: this.type, memory: Memory.MMAP });
  }

  async map(index: number): Promise<void> {
    const { buffer, planes } = await this.#run(Ioctl.QUERYBUF, { index });
    const parts = isMultiplanar(this.type) ? planes.slice(0, buffer.length) : [buffer];
    const regions: Region[] = [];
    for (const { m, length } of parts) {
      const offset = Buffer.from(m).readUInt32LE();
      const call: NodeCall & { kind: 'map' } = { kind: 'map', offset, length };
      assert.equal(await this.node.submit(call), 0, 'mmap');
      regions.push(call.region!);
    }
    this.#regions.set(index, regions);
  }

  view(index: number): Uint8Array[] {
    return this.#regions.get(index)!.map(({ windows }) => new Uint8Array(windows[0]!));
  }

  async queue(index: number, more: Partial<BufferAnswer['buffer']> = {}): Promise<BufferAnswer> {
    return this.#run(Ioctl.QBUF, { index, ...more });
  }

  async next(): Promise<BufferAnswer> {
    const answer = this.#record({});
    const came = async () => (await this.node.submit({ kind: 'dequeueBuffer', ...answer })) === 0;
    assert.ok(await eventually(came, 5000), 'no frame came natively');
    return readBuffer(Buffer.concat([answer.buffer, answer.planes ?? Buffer.alloc(0)]));
  }

  async on(): Promise<void> {
    await this.#stream(Ioctl.STREAMON);
  }

  async off(): Promise<void> {
    await this.#stream(Ioctl.STREAMOFF);
  }

  /** A mapping keeps the open file in use, and is removed some time after its region is closed. */
  async release(): Promise<void> {
    this.unmap();
    assert.equal(await this.node.request(0, this.type), 0);
  }

  unmap(): void {
    for (const region of [...this.#regions.values()].flat()) region.close();
    this.#regions.clear();
  }

  async #stream(nr: number): Promise<void> {
    const type = Buffer.alloc(4);
    type.writeUInt32LE(this.type);
    assert.equal((await this.node.ioctl(nr, type)).errno, 0, `ioctl ${nr}`);
  }

  async #run(nr: number, fields: Partial<BufferAnswer['buffer']>): Promise<BufferAnswer> {
    const record = this.#record(fields);
    assert.equal(await this.node.submit({ kind: 'buffer', nr, ...record }), 0, `ioctl ${nr}`);
    return readBuffer(Buffer.concat([record.buffer, record.planes ?? Buffer.alloc(0)]));
  }

  #record(fields: Partial<BufferAnswer['buffer']>): { buffer: Buffer; planes?: Buffer } {
    const { type } = this;
    const known = this.format?.planes.length ?? VIDEO_MAX_PLANES;
    const length = isMultiplanar(type) ? known : 0;
    const buffer = encoded(bufferRecord, { type, memory: Memory.MMAP, length, ...fields });
    return isMultiplanar(type) ? { buffer, planes: Buffer.alloc(length * planeRecord.size) } : { buffer };
  }
}

/**
 * REQBUFS, then maps all buffers and queues each with the fields of `fill`, STREAMON. Returns the number of buffers.
 */
export async function start(
  queue: AnyQueue,
  count: number,
  fill: (index: number) => Partial<BufferAnswer['buffer']> = () => ({}),
): Promise<number> {
  const granted = (await queue.request(count)).count;
  for (let index = 0; index < granted; index++) await queue.map(index);
  for (let index = 0; index < granted; index++) await queue.queue(index, fill(index));
  await queue.on();
  return granted;
}
