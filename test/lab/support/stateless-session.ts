/**
 * A guest's session on a stateless decoder: frames in, pictures out. The `Way` decides who makes the media requests.
 */
import assert from 'node:assert/strict';
import { controlIoctl } from '../../../src/client/control-ioctls.js';
import type { MediaEvent } from '../../../src/client/event-lane.js';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferFlag } from '../../../src/v4l2/layout.js';
import { type DqbufEvent, GuestQueue } from './guest-queue.js';
import { codecTypes } from './native-codec.js';

const OUTPUT_BUFFERS = 3;
const CAPTURE_BUFFERS = 4;

/** One frame on its way to the decoder. */
export interface Feed {
  readonly session: StatelessSession;
  /** Index of the OUTPUT buffer, which contains the data already. */
  readonly index: number;
  readonly bytesused: number;
  /** v4l2_buffer.timestamp. */
  readonly timestamp: Buffer;
  readonly control: { readonly id: number; readonly payload: Buffer };
}

/** Queues the frame: as a guest that knows no requests, or as one that makes its own. */
export type Way = (feed: Feed) => Promise<void>;

export class StatelessSession {
  readonly output: GuestQueue;
  readonly capture: GuestQueue;
  #number = 0;
  #before: number | undefined;

  private constructor(
    readonly driver: GuestDriver,
    readonly id: number,
    multiplanar: boolean,
  ) {
    const [output, capture] = codecTypes(multiplanar);
    this.output = new GuestQueue(driver, id, output);
    this.capture = new GuestQueue(driver, id, capture);
  }

  static async open(
    driver: GuestDriver,
    multiplanar: boolean,
    [coded, raw]: readonly [string, string],
    sizes: readonly (readonly [number, number])[],
  ): Promise<StatelessSession> {
    const session = new StatelessSession(driver, await driver.open(), multiplanar);
    const [wide, high] = sizes[0]!;
    await session.output.setFormat(coded, wide, high);
    const [width, height] = sizes.at(-1)!;
    await session.capture.setFormat(raw, width, height);
    for (const [queue, count] of [
      [session.output, OUTPUT_BUFFERS],
      [session.capture, CAPTURE_BUFFERS],
    ] as const) {
      await queue.request(count);
      for (let index = 0; index < count; index++) await queue.map(index);
    }
    for (let index = 0; index < CAPTURE_BUFFERS; index++) await session.capture.queue(index);
    return session;
  }

  async start(): Promise<void> {
    await this.output.on();
    await this.capture.on();
  }

  /** Decodes one frame. Its timestamp is its number + 1 microseconds. */
  async decode(data: Uint8Array, control: Feed['control'], way: Way): Promise<Buffer> {
    const number = this.#number++;
    const index = number % OUTPUT_BUFFERS;
    const plane = this.output.mappings.get(index)![0]!;
    this.driver.window(plane.driverAddress, data.length).set(data);
    const timestamp = Buffer.alloc(16);
    timestamp.writeBigInt64LE(BigInt(number + 1), 8);
    await way({ session: this, index, bytesused: data.length, timestamp, control });
    const events = [await this.#next(), await this.#next()];
    const output = events.find(({ buffer }) => buffer.type === this.output.type);
    const capture = events.find(({ buffer }) => buffer.type === this.capture.type);
    assert.ok(output && capture, 'one buffer of each queue');
    assert.equal((output.buffer.flags | capture.buffer.flags) & BufferFlag.ERROR, 0, 'a damaged picture');
    assert.deepEqual(capture.buffer.timestamp, output.buffer.timestamp);
    const picture = Buffer.concat(this.capture.bytes(capture));
    // The next picture is predicted from this one. The previous one is not needed any more.
    if (this.#before !== undefined) await this.capture.queue(this.#before);
    this.#before = capture.buffer.index;
    return picture;
  }

  async #next(): Promise<DqbufEvent> {
    const event: MediaEvent = await this.driver.nextEvent(this.id);
    assert.ok(event.kind === 'dqbuf', `a ${event.kind} event`);
    return event;
  }

  /** S_EXT_CTRLS of one compound control. `requestFd`: a request handle, if the values are for a request. */
  async setControl({ id, payload }: Feed['control'], which = 0, requestFd = 0): Promise<number> {
    const address = this.driver.heap.allocate(payload.length);
    const memory = [{ address, length: payload.length }];
    const set = { which, requestFd };
    const { errno } = await controlIoctl(
      this.driver,
      this.id,
      Ioctl.S_EXT_CTRLS,
      [{ id, memory, payload }],
      set,
    );
    this.driver.heap.release(address);
    return errno;
  }

  async stop(): Promise<void> {
    await this.output.off();
    await this.capture.off();
    await this.driver.close(this.id);
  }
}

/** QBUF of the feed's OUTPUT buffer. */
export function queueOutput(
  { session, index, bytesused, timestamp }: Feed,
  more: { flags?: number; requestFd?: number } = {},
) {
  const planes = session.output.type === codecTypes(true)[0];
  return session.output.buffer(Ioctl.QBUF, index, { timestamp, ...more, ...(planes ? {} : { bytesused }) }, [
    { bytesused },
  ]);
}
