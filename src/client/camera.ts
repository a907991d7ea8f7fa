/** A camera as an application uses it: a format, buffers, a stream of frames. */
import { Ioctl } from '../v4l2/ioctls.js';
import { BufferFlag, BufferType, Capability, fmtdesc, format as formatRecord } from '../v4l2/layout.js';
import { fourcc, fourccCode } from '../v4l2/names.js';
import { type BufferAnswer, bufferIoctl, isMultiplanar } from './buffer-ioctls.js';
import { knownFormats } from './decoders.js';
import { CommandTimeout, DriverError } from './driver-error.js';
import type { MediaEvent } from './event-lane.js';
import { type FrameMemory, mmapMemory, userMemory } from './frame-memory.js';
import type { GuestDriver } from './guest-driver.js';
import { type ImageFormat, readImageFormat } from './image-format.js';
import { encoded } from './record.js';

/** A device that never ends its list must not keep us. */
const MAX_FORMATS = 256;

export interface CameraOptions {
  /** FOURCC; by default what the device is set to, if it can be made into a picture. */
  readonly format?: string;
  /** FOURCCs to take, first to last, where `format` is not given. */
  readonly prefer: readonly string[];
  readonly size?: { readonly width: number; readonly height: number };
  readonly buffers: number;
  /** MMAP needs a SHM window; USERPTR needs a device that takes guest pages. */
  readonly memory: 'mmap' | 'userptr';
  /** Milliseconds to wait for a frame. */
  readonly timeout: number;
}

const defaults: CameraOptions = { prefer: [], buffers: 4, memory: 'mmap', timeout: 5000 };

export interface Frame {
  readonly index: number;
  readonly sequence: number;
  /** Seconds of the device's clock. */
  readonly timestamp: number;
  /** Sum over the planes. */
  readonly bytesused: number;
  /** V4L2_BUF_FLAG_ERROR: the contents may be damaged. */
  readonly damaged: boolean;
  /** Live bytes, valid until the next frame is asked for. */
  readonly planes: readonly Uint8Array[];
}

/** What the device cannot do for us: `message` is a sentence. */
export class CameraError extends Error {}
/** The device streams, but nothing comes. */
export class NoFrames extends CameraError {}

/** The buffer type of frames that a device delivers by itself. */
export function captureType(deviceCaps: number): number {
  if (deviceCaps & Capability.VIDEO_CAPTURE_MPLANE) return BufferType.VIDEO_CAPTURE_MPLANE;
  if (deviceCaps & Capability.VIDEO_CAPTURE) return BufferType.VIDEO_CAPTURE;
  throw new CameraError('the device is no camera: it delivers no frames by itself');
}

export class Camera {
  /** What the device has agreed to. */
  format!: ImageFormat;
  readonly sessionId: number;
  readonly type: number;
  readonly #driver: GuestDriver;
  readonly #options: CameraOptions;
  #memory: FrameMemory | undefined;
  #streaming = false;

  private constructor(driver: GuestDriver, sessionId: number, type: number, options: CameraOptions) {
    this.#driver = driver;
    this.sessionId = sessionId;
    this.type = type;
    this.#options = options;
  }

  /** Opens a session and sets the format. `deviceCaps`: as the configuration space has them. */
  static async open(
    driver: GuestDriver,
    deviceCaps: number,
    options: Partial<CameraOptions> = {},
  ): Promise<Camera> {
    const type = captureType(deviceCaps);
    const sessionId = await driver.open();
    const camera = new Camera(driver, sessionId, type, { ...defaults, ...options });
    try {
      await camera.#setFormat();
    } catch (error) {
      await driver.close(sessionId);
      throw error;
    }
    return camera;
  }

  /** Buffers of the running stream. */
  get buffers(): number {
    return this.#memory?.count ?? 0;
  }

  /** The FOURCCs that the device offers. */
  async formats(): Promise<string[]> {
    const found: string[] = [];
    while (found.length < MAX_FORMATS) {
      const wanted = { index: found.length, type: this.type };
      try {
        const answer = await this.#driver.call(this.sessionId, Ioctl.ENUM_FMT, fmtdesc, wanted);
        found.push(fourcc(answer.pixelformat));
      } catch (error) {
        if (!(error instanceof DriverError) || error instanceof CommandTimeout) throw error;
        break;
      }
    }
    return found;
  }

  /** Allocates, maps and queues the buffers, and starts the stream. */
  async start(): Promise<void> {
    const queue = { driver: this.#driver, sessionId: this.sessionId, type: this.type };
    const { memory, buffers } = this.#options;
    const allocate = memory === 'mmap' ? mmapMemory : userMemory;
    this.#memory = await allocate(queue, this.format, buffers);
    for (let index = 0; index < this.#memory.count; index++) await this.#queue(index);
    await this.#stream(Ioctl.STREAMON);
    this.#streaming = true;
  }

  /** `count` frames; each buffer is queued again when the next frame is asked for. Throws NoFrames. */
  async *frames(count: number): AsyncGenerator<Frame, void, undefined> {
    for (let n = 0; n < count; n++) {
      const { buffer, planes } = await this.#nextBuffer();
      yield this.#frame(buffer, planes);
      if (buffer.flags & BufferFlag.LAST) return;
      await this.#queue(buffer.index);
    }
  }

  /** Stops the stream; the device gives all buffers back. */
  async stop(): Promise<void> {
    if (!this.#streaming) return;
    this.#streaming = false;
    await this.#stream(Ioctl.STREAMOFF);
  }

  /** Stops, frees the buffers and closes the session. */
  async release(): Promise<void> {
    await this.stop();
    await this.#memory?.release();
    this.#memory = undefined;
    await this.#driver.close(this.sessionId);
  }

  async #setFormat(): Promise<void> {
    const blank = encoded(formatRecord, { type: this.type });
    const current = await this.#driver.ioctl(this.sessionId, Ioctl.G_FMT, blank);
    const { fourcc, ...size } = this.#read(current);
    const chosen = await this.#choose(fourcc);
    const wanted = this.#formatRequest(chosen, this.#options.size ?? size);
    const tried = await this.#driver.ioctl(this.sessionId, Ioctl.TRY_FMT, wanted);
    this.format = this.#read(await this.#driver.ioctl(this.sessionId, Ioctl.S_FMT, tried));
    if (this.format.fourcc !== chosen)
      throw new CameraError(
        `the device does not take ${chosen}; it offers ${(await this.formats()).join(', ')}`,
      );
  }

  /** What was asked for; what is preferred; what is set; what can be decoded: the first that the device has. */
  async #choose(current: string): Promise<string> {
    const { format, prefer } = this.#options;
    if (format !== undefined) return format;
    const offered = await this.formats();
    const known = knownFormats.includes(current) ? [current] : [];
    const decodable = offered.filter((fourcc) => knownFormats.includes(fourcc));
    return (
      [...prefer.filter((fourcc) => offered.includes(fourcc)), ...known, ...decodable, ...offered][0] ??
      current
    );
  }

  /** width, height and pixelformat lie at the same places in both kinds of format; the device computes the rest. */
  #formatRequest(fourcc: string, { width, height }: { width: number; height: number }): Buffer {
    const fmt = Buffer.alloc(12);
    fmt.writeUInt32LE(width, 0);
    fmt.writeUInt32LE(height, 4);
    fmt.writeUInt32LE(fourccCode(fourcc), 8);
    return encoded(formatRecord, { type: this.type, fmt });
  }

  #read(bytes: Uint8Array): ImageFormat {
    return readImageFormat(bytes, isMultiplanar(this.type));
  }

  async #queue(index: number): Promise<void> {
    await bufferIoctl(this.#driver, this.sessionId, Ioctl.QBUF, this.#memory!.request(index));
  }

  async #stream(nr: number): Promise<void> {
    const type = Buffer.alloc(4);
    type.writeUInt32LE(this.type);
    await this.#driver.ioctl(this.sessionId, nr, type);
  }

  async #nextBuffer(): Promise<BufferAnswer> {
    const deadline = Date.now() + this.#options.timeout;
    for (;;) {
      const event = await this.#nextEvent(deadline - Date.now());
      if (event.kind === 'error') throw new DriverError('EVT_ERROR', event.errno);
      if (event.kind === 'dqbuf' && event.buffer.type === this.type) return event;
    }
  }

  async #nextEvent(timeout: number): Promise<MediaEvent> {
    try {
      return await this.#driver.nextEvent(this.sessionId, Math.max(0, timeout));
    } catch (error) {
      if (!(error instanceof CommandTimeout)) throw error;
      const seconds = this.#options.timeout / 1000;
      throw new NoFrames(`the stream has started, but no frame came within ${seconds} s`);
    }
  }

  #frame(buffer: BufferAnswer['buffer'], planeRecords: BufferAnswer['planes']): Frame {
    const multiplanar = isMultiplanar(this.type);
    const used = multiplanar
      ? planeRecords.slice(0, this.format.planes.length)
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
      damaged: (buffer.flags & BufferFlag.ERROR) !== 0,
      planes,
    };
  }
}
