/**
 * A buffer queue used as a program of the host uses it, without the bridge, with memory that the program supplies:
 * USERPTR or DMABUF.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ImageFormat, readImageFormat } from '../../../src/client/image-format.js';
import type { PlaneMemory } from '../../../src/native.js';
import { encoded } from '../../../src/struct.js';
import { isMultiplanar } from '../../../src/v4l2/buffer-type.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import {
  buffer as bufferRecord,
  exportBuffer,
  Memory,
  plane as planeRecord,
  VIDEO_MAX_PLANES,
} from '../../../src/v4l2/layout.js';
import { u64 } from '../../addon/support/records.js';
import { formatRequest } from './guest-queue.js';
import type { NativeNode } from './native-node.js';

const EAGAIN = 11;

/** The memory of the planes of a buffer. */
export interface Brought {
  readonly memory?: readonly PlaneMemory[];
  readonly descriptors?: readonly number[];
}

export interface Answer {
  readonly errno: number;
  readonly buffer: Buffer;
  readonly planes: Buffer | undefined;
}

export interface Frame {
  readonly index: number;
  /** The bytes of the picture in each plane. */
  readonly spans: readonly { start: number; end: number }[];
}

export class NativeQueue {
  format!: ImageFormat;

  constructor(
    readonly node: NativeNode,
    readonly type: number,
    readonly memory: number,
  ) {}

  async setFormat(fourcc: string, width: number, height: number): Promise<void> {
    const wanted = formatRequest(this.type, fourcc, width, height);
    const { errno, payload } = await this.node.ioctl(Ioctl.S_FMT, wanted);
    assert.equal(errno, 0, 'S_FMT');
    this.format = readImageFormat(payload, isMultiplanar(this.type));
    assert.equal(this.format.fourcc, fourcc);
  }

  get sizes(): number[] {
    return this.format.planes.map(({ sizeimage }) => sizeimage);
  }

  async request(count: number): Promise<void> {
    assert.equal(await this.node.request(count, this.type, this.memory), 0, 'REQBUFS');
  }

  /** QBUF, PREPARE_BUF or QUERYBUF. */
  async ask(nr: number, index: number, brought: Brought = {}): Promise<Answer> {
    const planar = isMultiplanar(this.type);
    const planes = planar ? Buffer.concat(this.sizes.map(() => encoded(planeRecord, {}))) : undefined;
    const length = planar ? this.sizes.length : 0;
    const m = Buffer.alloc(8, 0xee);
    const record = encoded(bufferRecord, { index, type: this.type, memory: this.memory, length, m });
    const call = { kind: 'buffer', nr, buffer: record, ...(planes && { planes }), ...brought } as const;
    return { errno: await this.node.submit(call), buffer: record, planes };
  }

  async queue(index: number, brought: Brought): Promise<void> {
    const answer = await this.ask(Ioctl.QBUF, index, brought);
    assert.equal(answer.errno, 0, 'QBUF');
    assertScrubbed(answer);
  }

  on(): Promise<void> {
    return this.stream(Ioctl.STREAMON);
  }

  off(): Promise<void> {
    return this.stream(Ioctl.STREAMOFF);
  }

  private async stream(nr: number): Promise<void> {
    const payload = Buffer.alloc(4);
    payload.writeUInt32LE(this.type);
    assert.equal((await this.node.ioctl(nr, payload)).errno, 0);
  }

  /** DQBUF; waits until there is a frame. */
  async next(): Promise<Frame> {
    for (let tries = 0; tries < 600; tries++) {
      const planes = isMultiplanar(this.type) ? Buffer.alloc(64 * VIDEO_MAX_PLANES) : undefined;
      const length = planes ? VIDEO_MAX_PLANES : 0;
      const record = encoded(bufferRecord, { type: this.type, memory: this.memory, length });
      const call = { kind: 'dequeueBuffer', buffer: record, ...(planes && { planes }) } as const;
      const errno = await this.node.submit(call);
      if (errno === 0) {
        assertScrubbed({ errno, buffer: record, planes });
        const { index, bytesused } = bufferRecord.read(record);
        const spans = this.sizes.map((_, i) => {
          if (!planes) return { start: 0, end: bytesused };
          const plane = planeRecord.read(planes, 64 * i);
          return { start: plane.dataOffset, end: plane.bytesused };
        });
        return { index, spans };
      }
      assert.equal(errno, EAGAIN, 'DQBUF');
      await sleep(10);
    }
    assert.fail('no frame came');
  }

  /** EXPBUF: one descriptor for each plane. The caller closes them. */
  async export(index: number): Promise<number[]> {
    const exported = this.sizes.map((_, plane) =>
      this.node.call(Ioctl.EXPBUF, exportBuffer, { type: this.type, index, plane, flags: 2 }),
    );
    return (await Promise.all(exported)).map(({ fd }) => fd);
  }
}

/** Checks that the answer contains neither a pointer nor a descriptor of this process. */
export function assertScrubbed({ buffer, planes }: Answer): void {
  const { memory } = bufferRecord.read(buffer);
  assert.ok(memory === Memory.USERPTR || memory === Memory.DMABUF);
  assert.equal(u64(buffer, 64), 0n);
  for (let at = 0; at < (planes?.length ?? 0); at += 64) assert.equal(u64(planes!, at + 8), 0n);
}
