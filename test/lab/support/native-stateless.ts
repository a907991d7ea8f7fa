/**
 * A native program on a stateless decoder: one media request for each frame, with its buffer and its control values.
 * The bridge's answers are compared with its results.
 */
import assert from 'node:assert/strict';
import { closeSync, constants, openSync, readdirSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeCall } from '../../../src/native.js';
import { isFailure } from '../../../src/result.js';
import { extControls } from '../../../src/v4l2/control-layout.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferFlag } from '../../../src/v4l2/layout.js';
import { FWHT_PARAMS, type FwhtFrame, fwhtParams } from './fwht.js';
import { codecTypes, type Picture } from './native-codec.js';
import { MappedQueue } from './native-m2m-queue.js';
import { NativeNode } from './native-node.js';

const EAGAIN = 11;
const EBUSY = 16;
const PATIENCE = 10_000;

/** A node's media device, and the requests of one open file. */
export class NativeRequests {
  readonly media: number;
  readonly #all = new Set<number>();

  constructor(
    readonly node: NativeNode,
    path: string,
  ) {
    this.media = openSync(mediaOf(path), constants.O_RDWR);
  }

  async allocate(): Promise<number> {
    const call: NodeCall & { kind: 'allocateRequest' } = { kind: 'allocateRequest', media: this.media };
    assert.equal(await this.node.submit(call), 0, 'MEDIA_IOC_REQUEST_ALLOC');
    this.#all.add(call.request!);
    return call.request!;
  }

  queue(request: number): Promise<number> {
    return this.node.submit({ kind: 'queueRequest', request });
  }

  reinit(request: number): Promise<number> {
    return this.node.submit({ kind: 'reinitRequest', request });
  }

  /** G/S/TRY_EXT_CTRLS of one compound control in a request. The payload is changed in place. */
  control(request: number, id: number, payload: Buffer, nr: number = Ioctl.S_EXT_CTRLS): Promise<number> {
    const controls = Buffer.alloc(extControls.size);
    controls.writeUInt32LE(1, extControls.offset.count);
    const array = Buffer.alloc(20);
    array.writeUInt32LE(id, 0);
    array.writeUInt32LE(payload.length, 4);
    return this.node.submit({ kind: 'controls', nr, controls, array, payloads: [payload], request });
  }

  release(request: number): void {
    if (this.#all.delete(request)) closeSync(request);
  }

  close(): void {
    for (const request of [...this.#all]) this.release(request);
    closeSync(this.media);
  }
}

/** Path of the media device of a node, found through sysfs. */
export function mediaOf(path: string): string {
  const { rdev } = statSync(path);
  const names = readdirSync(`/sys/dev/char/${rdev >> 8}:${rdev & 255}/device`);
  const name = names.find((each) => /^media\d+$/.test(each));
  assert.ok(name, `${path} has no media device`);
  return `/dev/${name}`;
}

/** An open stateless decoder with formats and buffers. The CAPTURE buffers are queued; nothing streams yet. */
export class StatelessDecoder {
  readonly output: MappedQueue;
  readonly capture: MappedQueue;

  private constructor(
    readonly node: NativeNode,
    readonly requests: NativeRequests,
    multiplanar: boolean,
  ) {
    const [output, capture] = codecTypes(multiplanar);
    this.output = new MappedQueue(node, output);
    this.capture = new MappedQueue(node, capture);
  }

  static async with<T>(
    path: string,
    multiplanar: boolean,
    [coded, raw]: readonly [coded: string, raw: string],
    [width, height]: readonly [width: number, height: number],
    use: (decoder: StatelessDecoder) => Promise<T>,
  ): Promise<T> {
    const node = await NativeNode.open(path);
    const requests = new NativeRequests(node, path);
    const decoder = new StatelessDecoder(node, requests, multiplanar);
    try {
      await decoder.output.setFormat(coded, width, height);
      await decoder.capture.setFormat(raw, width, height);
      await decoder.output.request(4);
      await decoder.capture.request(5);
      for (const index of decoder.capture.indices) await decoder.capture.queue(index);
      const result = await use(decoder);
      for (const queue of [decoder.output, decoder.capture]) {
        await queue.off();
        await queue.request(0);
      }
      return result;
    } finally {
      for (const queue of [decoder.output, decoder.capture]) queue.unmap();
      requests.close();
      await node.close();
    }
  }

  async start(): Promise<void> {
    await this.output.on();
    await this.capture.on();
  }

  /** Queues frame `number` of a stream in a request of its own. Its timestamp is number + 1 microseconds. */
  async submit(request: number, index: number, frame: FwhtFrame, number: number): Promise<void> {
    const reference = frame.isIntra ? 0n : BigInt(number) * 1000n;
    assert.equal(await this.requests.control(request, FWHT_PARAMS, fwhtParams(frame, reference)), 0);
    await this.output.queue(index, { bytes: frame.data, timestamp: number + 1, request });
    assert.equal(await this.requests.queue(request), 0, 'MEDIA_REQUEST_IOC_QUEUE');
  }

  /** DQBUF of OUTPUT and then of CAPTURE; waits for each. */
  async next(): Promise<{ output: number; capture: number; bytes: Buffer }> {
    const output = await waited(this.output);
    const capture = await waited(this.capture);
    assert.equal((output.flags | capture.flags) & BufferFlag.ERROR, 0, 'a damaged picture');
    assert.equal(capture.timestamp, output.timestamp);
    return { output: output.index, capture: capture.index, bytes: capture.bytes };
  }

  /** vicodec returns the OUTPUT buffer shortly before it completes the request. */
  async recycle(request: number): Promise<void> {
    for (const end = Date.now() + PATIENCE; ; await sleep(1)) {
      const errno = await this.requests.reinit(request);
      if (errno === 0) return;
      assert.ok(errno === EBUSY && Date.now() < end, `REINIT: errno ${errno}`);
    }
  }
}

async function waited(queue: MappedQueue) {
  for (const end = Date.now() + PATIENCE; ; await sleep(1)) {
    const taken = await queue.dequeue();
    if (!isFailure(taken)) return taken;
    assert.ok(taken.errno === EAGAIN && Date.now() < end, `DQBUF: errno ${taken.errno}`);
  }
}

/**
 * Decodes a stream of one size with `depth` requests (at most 4) under way, each reused by REINIT. Returns YU12
 * pictures.
 */
export function decodeWithRequests(
  path: string,
  multiplanar: boolean,
  frames: readonly FwhtFrame[],
  depth = 4,
): Promise<Picture[]> {
  const { width, height } = frames[0]!;
  return StatelessDecoder.with(path, multiplanar, ['SFWH', 'YU12'], [width, height], async (decoder) => {
    const pictures: Picture[] = [];
    const ring = await Promise.all(Array.from({ length: depth }, () => decoder.requests.allocate()));
    let before: number | undefined;
    await decoder.start();
    for (let number = 0; number < frames.length + depth; number++) {
      const request = ring[number % depth]!;
      if (number >= depth) {
        const { capture, bytes } = await decoder.next();
        pictures.push({ width: decoder.capture.format.width, height: decoder.capture.format.height, bytes });
        // The next picture is predicted from this one. The previous one is not needed any more.
        if (before !== undefined) await decoder.capture.queue(before);
        before = capture;
        await decoder.recycle(request);
      }
      if (number < frames.length) await decoder.submit(request, number % depth, frames[number]!, number);
    }
    return pictures;
  });
}
