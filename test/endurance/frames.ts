/** One long stream. No frame is lost, none comes twice, all come in order. */
import assert from 'node:assert/strict';
import { control } from '../../src/v4l2/control-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType } from '../../src/v4l2/layout.js';
import { GuestQueue, seconds } from '../lab/support/guest-queue.js';
import { type Endurance, Pace, reportOf } from './endurance.js';

const WARM_UP = 40;
/** Frames a second: vivid's rate at 320x180. */
const HIGHEST_RATE = 120;
const BUFFERS = 8;
/** vim2m's "Transaction Time (msec)". */
const TRANSACTION_TIME = 0x0098_1900;
const [WIDTH, HEIGHT] = [32, 32];
const FRAME_BYTES = WIDTH * HEIGHT * 2;

type Progress = (done: number) => void;

/** Writes a number as struct timeval, and reads it back. */
function timeOf(frame: number): Buffer {
  const time = Buffer.alloc(16);
  time.writeBigInt64LE(BigInt(Math.floor(frame / 1e6)));
  time.writeBigInt64LE(BigInt(frame % 1e6), 8);
  return time;
}

function frameOf(time: Uint8Array): number {
  const bytes = Buffer.from(time);
  return Number(bytes.readBigInt64LE(0)) * 1e6 + Number(bytes.readBigInt64LE(8));
}

/**
 * A converter that gets frames as fast as it works. Each frame carries its number in its timestamp and in its pixels.
 */
class Converter {
  /** Frames that went in, and frames that came out. */
  #sent = 0;
  #seen = 0;

  private constructor(
    private readonly output: GuestQueue,
    private readonly capture: GuestQueue,
  ) {}

  static async start({ driver }: Endurance): Promise<Converter> {
    const session = await driver.open();
    await driver.call(session, Ioctl.S_CTRL, control, { id: TRANSACTION_TIME, value: 1 });
    const output = new GuestQueue(driver, session, BufferType.VIDEO_OUTPUT);
    const capture = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
    for (const queue of [output, capture]) {
      await queue.setFormat('RGBP', WIDTH, HEIGHT);
      assert.equal((await queue.request(BUFFERS)).count, BUFFERS);
      for (let index = 0; index < BUFFERS; index++) await queue.map(index);
    }
    const converter = new Converter(output, capture);
    for (let index = 0; index < BUFFERS; index++) await capture.queue(index);
    for (let index = 0; index < BUFFERS; index++) await converter.#feed(index);
    await output.on();
    await capture.on();
    return converter;
  }

  /** Runs until `total` frames have come out since the start. */
  async run(total: number, seen: () => void): Promise<void> {
    const { driver, session } = this.output;
    while (this.#seen < total) {
      const event = await driver.nextEvent(session);
      assert.ok(event.kind === 'dqbuf');
      const { type, index } = event.buffer;
      if (type === BufferType.VIDEO_OUTPUT) {
        await this.#feed(index);
        continue;
      }
      this.#judge(index, event.buffer);
      await this.capture.queue(index);
      seen();
    }
  }

  async stop(): Promise<void> {
    await this.output.off();
    await this.capture.off();
    await this.output.driver.close(this.output.session);
  }

  async #feed(index: number): Promise<void> {
    const { driver, mappings } = this.output;
    const pixels = Buffer.alloc(4);
    pixels.writeUInt32LE(this.#sent);
    driver.window(mappings.get(index)![0]!.driverAddress, FRAME_BYTES).set(pixels);
    await this.output.queue(index, { bytesused: FRAME_BYTES, timestamp: timeOf(this.#sent++) });
  }

  #judge(index: number, buffer: { timestamp: Uint8Array; sequence: number; flags: number }): void {
    const frame = this.#seen++;
    assert.equal(frameOf(buffer.timestamp), frame, 'a frame was lost, or came twice');
    assert.equal(buffer.sequence, frame);
    assert.equal(buffer.flags & BufferFlag.ERROR, 0);
    const { driver, mappings } = this.capture;
    const pixels = driver.window(mappings.get(index)![0]!.driverAddress, FRAME_BYTES);
    assert.equal(Buffer.from(pixels).readUInt32LE(), frame, 'the picture of another frame');
  }
}

/** Sends `count` frames through vim2m. */
export async function endureConverter(
  endurance: Endurance,
  count: number,
  progress: Progress = () => undefined,
): Promise<string> {
  const converter = await Converter.start(endurance);
  await converter.run(WARM_UP, () => undefined);
  const before = await endurance.holdings();
  const pace = new Pace();
  let done = 0;
  await converter.run(WARM_UP + count, () => {
    pace.step();
    progress(++done);
  });
  const after = await endurance.verify(before);
  await converter.stop();
  return reportOf(`${count} frames of a converter, each once and in order`, before, after, pace);
}

/** A camera's stream: each buffer comes back once, in the order in which it was queued. */
class CameraStream {
  readonly #queued: number[] = [];
  #last = -1;
  /** From the driver's own sequence numbers: pictures that it skipped, and numbers that it gave twice. */
  skipped = 0;
  repeated = 0;

  private constructor(private readonly queue: GuestQueue) {}

  static async start(queue: GuestQueue): Promise<CameraStream> {
    await queue.start(BUFFERS);
    const stream = new CameraStream(queue);
    stream.#queued.push(...Array(BUFFERS).keys());
    return stream;
  }

  async take(): Promise<void> {
    const event = await this.queue.driver.nextEvent(this.queue.session);
    assert.ok(event.kind === 'dqbuf');
    const { index, sequence, flags, timestamp } = event.buffer;
    assert.equal(flags & BufferFlag.ERROR, 0);
    const what = `frame ${sequence} at ${seconds(timestamp)} after ${this.#last}`;
    assert.equal(index, this.#queued.shift(), what);
    if (this.#last >= 0) this.#count(sequence - this.#last, what);
    this.#last = sequence;
    await this.queue.queue(index);
    this.#queued.push(index);
  }

  #count(step: number, what: string): void {
    assert.ok(step >= 0, what);
    if (step === 0) this.repeated++;
    else this.skipped += step - 1;
  }
}

/**
 * Takes `count` frames of vivid at its highest rate. If vivid needs longer than half a period for a picture, its next
 * picture comes too soon and with the same number. If its thread was late or no buffer was queued, numbers are missing.
 * Both are reported and are no failure.
 */
export async function endureCamera(
  endurance: Endurance,
  count: number,
  progress: Progress = () => undefined,
): Promise<string> {
  const { driver } = endurance;
  const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
  await queue.setFormat('GREY', 320, 180);
  await queue.setRate(HIGHEST_RATE);
  const stream = await CameraStream.start(queue);
  for (let i = 0; i < WARM_UP; i++) await stream.take();
  const before = await endurance.holdings();
  const pace = new Pace();
  Object.assign(stream, { skipped: 0, repeated: 0 });
  for (let done = 1; done <= count; done++) {
    await stream.take();
    pace.step();
    progress(done);
  }
  const after = await endurance.verify(before);
  await queue.off();
  await driver.close(queue.session);
  const { skipped, repeated } = stream;
  const what = `${count} frames of a camera, each once and in order; its driver skipped ${skipped} and gave ${repeated} numbers twice`;
  return reportOf(what, before, after, pace);
}
