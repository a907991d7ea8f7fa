/**
 * A guest's program that captures from its camera: V4L2 calls through the driver; frames are read from SHM region 0.
 */
import { bufferIoctl } from '../../../src/client/buffer-ioctls.js';
import { controlIoctl } from '../../../src/client/control-ioctls.js';
import type { BufferRecord } from '../../../src/client/event-lane.js';
import type { GuestDriver, Mapping } from '../../../src/client/guest-driver.js';
import { errnoName } from '../../../src/errno.js';
import { encoded, struct, u32 } from '../../../src/struct.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import {
  BufferType,
  format as formatRecord,
  Memory,
  pixFormat,
  requestBuffers,
  streamparm,
} from '../../../src/v4l2/layout.js';
import type { Guest } from './guest.js';

const TYPE = BufferType.VIDEO_CAPTURE;
const streamType = struct({ type: u32 });
const FRAME_TIMEOUT_MS = 5000;

export type PixFormat = ReturnType<typeof pixFormat.read>;

export class Capture {
  readonly driver: GuestDriver;
  readonly session: number;
  /** One mapping for each buffer. */
  mappings: Mapping[] = [];
  readonly #guest: Guest;

  private constructor(guest: Guest, session: number) {
    this.#guest = guest;
    this.driver = guest.driver;
    this.session = session;
  }

  static async open(guest: Guest): Promise<Capture> {
    return new Capture(guest, await guest.driver.open());
  }

  async setFormat(width: number, height: number, fourcc: string): Promise<PixFormat> {
    const pixelformat = Buffer.from(fourcc).readUInt32LE();
    const fmt = encoded(pixFormat, { width, height, pixelformat });
    const answer = await this.driver.call(this.session, Ioctl.S_FMT, formatRecord, { type: TYPE, fmt });
    return pixFormat.read(answer.fmt);
  }

  /** Requests `rate` frames a second. Returns the rate that the driver has set. */
  async setRate(rate: number): Promise<number> {
    const fields = { type: TYPE, numerator: 1, denominator: rate };
    const answer = await this.driver.call(this.session, Ioctl.S_PARM, streamparm, fields);
    return answer.denominator / answer.numerator;
  }

  async setControl(id: number, value: number): Promise<void> {
    const request = [{ id, value: BigInt(value) }];
    const { errno } = await controlIoctl(this.driver, this.session, Ioctl.S_EXT_CTRLS, request);
    if (errno !== 0) throw new Error(`control 0x${id.toString(16)}: ${errnoName(errno)}`);
  }

  /** Requests the buffers and maps them. */
  async request(count: number): Promise<void> {
    const fields = { count, type: TYPE, memory: Memory.MMAP };
    const answer = await this.driver.call(this.session, Ioctl.REQBUFS, requestBuffers, fields);
    for (let index = 0; index < answer.count; index++) {
      const record = await this.#buffer(Ioctl.QUERYBUF, index);
      const offset = Buffer.from(record.m).readUInt32LE();
      this.mappings.push(await this.driver.mmap(this.session, offset));
    }
  }

  async queue(index: number): Promise<void> {
    await this.#buffer(Ioctl.QBUF, index);
  }

  /** Queues every buffer and starts the stream. */
  async start(): Promise<void> {
    for (const index of this.mappings.keys()) await this.queue(index);
    await this.driver.call(this.session, Ioctl.STREAMON, streamType, { type: TYPE });
  }

  /** Stops the stream. Frames that nobody has taken are dropped, as in the Linux driver. */
  async stop(): Promise<void> {
    await this.driver.call(this.session, Ioctl.STREAMOFF, streamType, { type: TYPE });
    while (this.driver.waitingEvents(this.session) > 0) await this.next();
  }

  /** DQBUF: the buffer of the next frame. */
  async next(): Promise<BufferRecord> {
    const event = await this.driver.nextEvent(this.session, FRAME_TIMEOUT_MS);
    if (event.kind !== 'dqbuf') throw new Error(`a ${event.kind} event instead of a frame`);
    return event.buffer;
  }

  /** The bytes of a buffer as the guest sees them. */
  read(index: number, length = this.mappings[index]!.length): Promise<Buffer> {
    return this.#guest.machine.readWindow(this.mappings[index]!.driverAddress, length);
  }

  /** Unmaps and frees the buffers. */
  async release(): Promise<void> {
    await this.#unmap();
    const none = { count: 0, type: TYPE, memory: Memory.MMAP };
    await this.driver.call(this.session, Ioctl.REQBUFS, requestBuffers, none);
  }

  /** The program ends. Mappings keep the file open, so they are unmapped first. */
  async close(): Promise<void> {
    await this.#unmap();
    await this.driver.close(this.session);
  }

  async #unmap(): Promise<void> {
    for (const { driverAddress } of this.mappings.splice(0)) await this.driver.munmap(driverAddress);
  }

  async #buffer(nr: number, index: number): Promise<BufferRecord> {
    const request = { buffer: { index, type: TYPE, memory: Memory.MMAP } };
    return (await bufferIoctl(this.driver, this.session, nr, request)).buffer;
  }
}
