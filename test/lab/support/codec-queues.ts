/** A stateful decoder's session, ioctl by ioctl. */
import assert from 'node:assert/strict';
import type { MediaEvent } from '../../../src/client/event-lane.js';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import { encoded } from '../../../src/struct.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, EventType, eventSubscription } from '../../../src/v4l2/layout.js';
import { type DqbufEvent, GuestQueue } from './guest-queue.js';

export class DecoderQueues {
  /** Events that nobody has taken yet. */
  readonly waiting: MediaEvent[] = [];

  private constructor(
    readonly driver: GuestDriver,
    readonly session: number,
    readonly output: GuestQueue,
    readonly capture: GuestQueue,
  ) {}

  /**
   * A session that is subscribed to EOS and SOURCE_CHANGE. Its OUTPUT queue streams with `count` mapped buffers of
   * `size`.
   */
  static async open(driver: GuestDriver, count: number, size: { width: number; height: number }) {
    const session = await driver.open();
    const output = new GuestQueue(driver, session, BufferType.VIDEO_OUTPUT);
    const capture = new GuestQueue(driver, session, BufferType.VIDEO_CAPTURE);
    for (const type of [EventType.EOS, EventType.SOURCE_CHANGE])
      await driver.ioctl(session, Ioctl.SUBSCRIBE_EVENT, encoded(eventSubscription, { type }));
    await output.setFormat('FWHT', size.width, size.height);
    await output.request(count);
    for (let index = 0; index < count; index++) await output.map(index);
    await output.on();
    return new DecoderQueues(driver, session, output, capture);
  }

  async feed(index: number, bytes: Buffer): Promise<void> {
    const [mapping] = this.output.mappings.get(index)!;
    this.driver.window(mapping!.driverAddress, bytes.length).set(bytes);
    await this.output.queue(index, { bytesused: bytes.length });
  }

  async command(command: number): Promise<void> {
    const payload = Buffer.alloc(72);
    payload.writeUInt32LE(command);
    await this.driver.ioctl(this.session, Ioctl.DECODER_CMD, payload);
  }

  /** The next event of a type. Other events before it are kept in `waiting`. */
  async next(wanted: (event: MediaEvent) => boolean): Promise<MediaEvent> {
    const at = this.waiting.findIndex(wanted);
    if (at >= 0) return this.waiting.splice(at, 1)[0]!;
    for (;;) {
      const event = await this.driver.nextEvent(this.session, 20_000);
      if (wanted(event)) return event;
      this.waiting.push(event);
    }
  }

  async frame(): Promise<DqbufEvent> {
    const { type } = this.capture;
    const event = await this.next((each) => each.kind === 'dqbuf' && each.buffer.type === type);
    assert.ok(event.kind === 'dqbuf');
    // A LAST buffer has the sequence number of its earlier use.
    if ((event.buffer.flags & BufferFlag.LAST) === 0) this.capture.verify(event);
    return event;
  }

  async returned(): Promise<number> {
    const { type } = this.output;
    const event = await this.next((each) => each.kind === 'dqbuf' && each.buffer.type === type);
    assert.ok(event.kind === 'dqbuf');
    return event.buffer.index;
  }

  event(type: number): Promise<MediaEvent> {
    return this.next((each) => each.kind === 'event' && each.event.type === type);
  }

  async close(): Promise<void> {
    await this.output.off();
    await this.capture.off();
    await this.output.release();
    await this.capture.release();
    await this.driver.close(this.session);
  }
}
