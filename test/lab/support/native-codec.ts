/**
 * A native program on a stateful codec, written after the kernel's documents of the stateful encoder and decoder: both
 * queues at once, SOURCE_CHANGE, drain by STOP, the LAST buffer, EPIPE. The bridge's answers are compared with its
 * results.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { failure, isFailure, type Result } from '../../../src/result.js';
import { encoded } from '../../../src/struct.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, EventType, event, eventSubscription } from '../../../src/v4l2/layout.js';
import { type FwhtFrame, fwhtFrames } from './fwht.js';
import { nodeNamed } from './kernel-modules.js';
import { movingPattern } from './moving-pattern.js';
import { type Dequeued, MappedQueue } from './native-m2m-queue.js';
import { NativeNode } from './native-node.js';

const NOTHING_READY = failure(11);
const ENOENT = 2;
const EPIPE = 32;
const BUFFERS = 3;
const CMD_STOP = 1;
const S_SELECTION = 95;
const RAW = 'YU12';
/** Milliseconds without progress after which the codec counts as stuck. */
const PATIENCE = 10_000;

export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly bytes: Buffer;
}

/**
 * The visible part of a decoded YU12 picture. The other bytes differ from run to run, because vicodec's stateful
 * decoder predicts them from memory that was never written.
 */
export function visible({ width, height, bytes }: Picture, wide: number, high: number): Buffer {
  assert.equal(bytes.length, (width * height * 3) / 2);
  const rows: Buffer[] = [];
  const crop = (start: number, stride: number, columns: number, lines: number) => {
    for (let y = 0; y < lines; y++)
      rows.push(bytes.subarray(start + y * stride, start + y * stride + columns));
  };
  crop(0, width, wide, high);
  for (const start of [width * height, (width * height * 5) / 4]) crop(start, width / 2, wide / 2, high / 2);
  return Buffer.concat(rows);
}

/** The buffer types of a mem-to-mem node: [OUTPUT, CAPTURE]. */
export const codecTypes = (multiplanar: boolean): readonly [number, number] =>
  multiplanar
    ? [BufferType.VIDEO_OUTPUT_MPLANE, BufferType.VIDEO_CAPTURE_MPLANE]
    : [BufferType.VIDEO_OUTPUT, BufferType.VIDEO_CAPTURE];

/** The common part of encoder and decoder. */
abstract class StatefulCodec {
  readonly output: MappedQueue;
  readonly capture: MappedQueue;
  readonly pictures: Picture[] = [];
  #free: number[] = [];
  #fed = 0;
  #isStopped = false;
  #isCapturing = false;
  #quietSince = Date.now();

  constructor(
    readonly node: NativeNode,
    multiplanar: boolean,
    /** The input, one entry for each buffer. */
    readonly frames: readonly Uint8Array[],
    private readonly commandNr: number,
    private readonly commandSize: number,
  ) {
    const [output, capture] = codecTypes(multiplanar);
    this.output = new MappedQueue(node, output);
    this.capture = new MappedQueue(node, capture);
  }

  /** Whether the stream has changed in a way that CAPTURE must follow. */
  protected abstract hasChanged(): Promise<boolean>;

  /** Feeds everything and drains. Returns what came out. */
  async run(): Promise<Picture[]> {
    await this.output.request(BUFFERS);
    this.#free = this.output.indices;
    await this.output.on();
    while (!(await this.#turn())) assert.ok(Date.now() - this.#quietSince < PATIENCE, 'the codec is stuck');
    assert.equal(await this.capture.dequeue(), failure(EPIPE), 'after LAST');
    for (const queue of [this.output, this.capture]) {
      await queue.off();
      await queue.request(0);
    }
    return this.pictures;
  }

  async #startCapture(): Promise<void> {
    if (this.#isCapturing) await this.capture.off();
    await this.capture.request(0);
    await this.capture.readFormat();
    await this.capture.request(BUFFERS);
    for (const index of this.capture.indices) await this.capture.queue(index);
    await this.capture.on();
    this.#isCapturing = true;
  }

  /** Returns true when the codec is drained. */
  async #turn(): Promise<boolean> {
    await this.#feed();
    if (!this.#isCapturing && (await this.hasChanged())) await this.#startCapture();
    const taken = this.#isCapturing ? await this.capture.dequeue() : NOTHING_READY;
    const isLast = await this.#take(taken);
    if (!isLast) return false;
    if (!(await this.hasChanged())) return true;
    await this.#startCapture();
    return false;
  }

  async #feed(): Promise<void> {
    const back = await this.output.dequeue();
    if (isFailure(back)) assert.equal(back, NOTHING_READY, 'DQBUF of OUTPUT');
    else this.#free.push(back.index);
    for (; this.#free.length > 0 && this.#fed < this.frames.length; this.#fed++)
      await this.output.queue(this.#free.pop()!, {
        bytes: this.frames[this.#fed]!,
        timestamp: this.#fed + 1,
      });
    if (this.#fed === this.frames.length && this.#isCapturing && !this.#isStopped) await this.#stop();
  }

  async #stop(): Promise<void> {
    const command = Buffer.alloc(this.commandSize);
    command.writeUInt32LE(CMD_STOP);
    assert.equal((await this.node.ioctl(this.commandNr, command)).errno, 0, 'STOP');
    this.#isStopped = true;
  }

  /** Returns true if no more pictures come before the next change. */
  async #take(taken: Result<Dequeued>): Promise<boolean> {
    if (isFailure(taken)) {
      assert.equal(taken, NOTHING_READY, 'DQBUF of CAPTURE');
      await sleep(1);
      return false;
    }
    this.#quietSince = Date.now();
    const { index, flags, bytes } = taken;
    assert.equal(flags & BufferFlag.ERROR, 0, 'a damaged picture');
    const { width, height } = this.capture.format;
    if (bytes.length > 0) this.pictures.push({ width, height, bytes });
    if ((flags & BufferFlag.LAST) !== 0) return true;
    await this.capture.queue(index);
    return false;
  }
}

class Encoder extends StatefulCodec {
  #isNew = true;

  protected async hasChanged(): Promise<boolean> {
    const changed = this.#isNew;
    this.#isNew = false;
    return changed;
  }
}

class Decoder extends StatefulCodec {
  /** Whether there was a SOURCE_CHANGE since the last call. */
  protected async hasChanged(): Promise<boolean> {
    for (let changed = false; ; ) {
      const record = Buffer.alloc(event.size);
      const errno = await this.node.submit({ kind: 'dequeueEvent', event: record });
      if (errno === ENOENT) return changed;
      assert.equal(errno, 0, 'DQEVENT');
      changed ||= event.read(record).type === EventType.SOURCE_CHANGE;
    }
  }
}

/** Width or height of a picture in vicodec's memory: whole 8 by 8 blocks, also in the chroma planes. */
export const codedSize = (pixels: number): number => Math.ceil(pixels / 16) * 16;

/**
 * Encodes YU12 pictures of `width` by `height`, which have the size of codedSize in memory. Returns the FWHT stream.
 */
export function encode(
  path: string,
  multiplanar: boolean,
  width: number,
  height: number,
  pictures: readonly Uint8Array[],
): Promise<Buffer> {
  return NativeNode.with(path, async (node) => {
    const encoder = new Encoder(node, multiplanar, pictures, Ioctl.ENCODER_CMD, 40);
    await encoder.capture.setFormat('FWHT', width, height);
    await encoder.output.setFormat(RAW, width, height);
    assert.equal(encoder.output.format.planes[0]!.sizeimage, pictures[0]!.length);
    // S_SELECTION always takes the single-planar type. struct v4l2_selection: type, target CROP, flags, left, top.
    const selection = Buffer.alloc(64);
    selection.writeUInt32LE(BufferType.VIDEO_OUTPUT, 0);
    selection.writeInt32LE(width, 20);
    selection.writeInt32LE(height, 24);
    assert.equal((await node.ioctl(S_SELECTION, selection)).errno, 0, 'S_SELECTION');
    return Buffer.concat((await encoder.run()).map(({ bytes }) => bytes));
  });
}

/** Decodes FWHT, one whole frame in each buffer. Returns YU12 pictures. The size may change in mid-stream. */
export function decode(
  path: string,
  multiplanar: boolean,
  frames: readonly Uint8Array[],
): Promise<Picture[]> {
  return NativeNode.with(path, async (node) => {
    const decoder = new Decoder(node, multiplanar, frames, Ioctl.DECODER_CMD, 72);
    for (const type of [EventType.SOURCE_CHANGE, EventType.EOS]) {
      const subscription = encoded(eventSubscription, { type });
      assert.equal((await node.ioctl(Ioctl.SUBSCRIBE_EVENT, subscription)).errno, 0);
    }
    await decoder.output.setFormat('FWHT', 1280, 720);
    return decoder.run();
  });
}

/** FWHT frames of a moving pattern, for tests of decoders. */
export async function encodedPattern(
  multiplanar: boolean,
  width: number,
  height: number,
  count: number,
): Promise<FwhtFrame[]> {
  const [wide, high] = [codedSize(width), codedSize(height)];
  const pictures = Array.from({ length: count }, (_, number) => movingPattern(wide, high, number));
  const stream = await encode(nodeNamed('stateful-encoder'), multiplanar, width, height, pictures);
  const frames = fwhtFrames(stream);
  assert.equal(frames.length, count);
  for (const frame of frames) assert.deepEqual([frame.width, frame.height], [width, height]);
  return frames;
}
