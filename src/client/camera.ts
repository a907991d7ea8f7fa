/** A camera, used as an application would: set a format, allocate buffers, stream frames. */
import { BufferType, Capability } from '../v4l2/layout.js';
import type { BufferAnswer } from './buffer-ioctls.js';
import { knownFormats } from './decoders.js';
import { CommandTimeout, DriverError } from './driver-error.js';
import type { MediaEvent } from './event-lane.js';
import type { Frame } from './frame.js';
import type { GuestDriver } from './guest-driver.js';
import type { ImageFormat } from './image-format.js';
import { type MemoryKind, VideoQueue } from './video-queue.js';

export interface CameraOptions {
  /** FOURCC; by default one of `prefer`, else the current format if it can be decoded into a picture. */
  readonly format?: string;
  /** FOURCCs to try, best first, if `format` is not given. */
  readonly prefer: readonly string[];
  readonly size?: { readonly width: number; readonly height: number };
  readonly buffers: number;
  readonly memory: MemoryKind;
  /** Milliseconds to wait for a frame. */
  readonly timeout: number;
}

const defaults: CameraOptions = { prefer: [], buffers: 4, memory: 'mmap', timeout: 5000 };

/** The device cannot do what is asked for; `message` is a sentence. */
export class CameraError extends Error {}
/** The stream has started, but no frame came in time. */
export class NoFrames extends CameraError {}

/** The buffer type of a camera's frames. Throws CameraError if the device is not a camera. */
export function captureType(deviceCaps: number): number {
  if (deviceCaps & Capability.VIDEO_CAPTURE_MPLANE) return BufferType.VIDEO_CAPTURE_MPLANE;
  if (deviceCaps & Capability.VIDEO_CAPTURE) return BufferType.VIDEO_CAPTURE;
  throw new CameraError('the device is no camera: it delivers no frames by itself');
}

export class Camera {
  readonly #queue: VideoQueue;
  readonly #options: CameraOptions;

  private constructor(queue: VideoQueue, options: CameraOptions) {
    this.#queue = queue;
    this.#options = options;
  }

  /** Opens a session, sets the format. `deviceCaps`: from the configuration space. Throws CameraError, DriverError. */
  static async open(
    driver: GuestDriver,
    deviceCaps: number,
    options: Partial<CameraOptions> = {},
  ): Promise<Camera> {
    const type = captureType(deviceCaps);
    const sessionId = await driver.open();
    const camera = new Camera(new VideoQueue(driver, sessionId, type), { ...defaults, ...options });
    try {
      await camera.#setFormat();
    } catch (error) {
      await driver.close(sessionId);
      throw error;
    }
    return camera;
  }

  get sessionId(): number {
    return this.#queue.sessionId;
  }

  get type(): number {
    return this.#queue.type;
  }

  /** The format that the device has set. */
  get format(): ImageFormat {
    return this.#queue.format;
  }

  /** Buffers of the running stream. */
  get buffers(): number {
    return this.#queue.count;
  }

  /** The FOURCCs that the device offers. */
  formats(): Promise<string[]> {
    return this.#queue.fourccs();
  }

  /** Allocates, maps and queues the buffers, and starts the stream. */
  async start(): Promise<void> {
    await this.#queue.allocate(this.#options.memory, this.#options.buffers);
    await this.#queue.queueAll();
    await this.#queue.on();
  }

  /** `count` frames. A frame's buffer is queued again when the caller asks for the next frame. Throws NoFrames. */
  async *frames(count: number): AsyncGenerator<Frame, void, undefined> {
    for (let n = 0; n < count; n++) {
      const frame = this.#queue.frame(await this.#nextBuffer());
      yield frame;
      if (frame.last) return;
      await this.#queue.queue(frame.index);
    }
  }

  /** Stops the stream. The device returns all buffers. */
  stop(): Promise<void> {
    return this.#queue.off();
  }

  /** Stops, frees the buffers and closes the session. */
  async release(): Promise<void> {
    await this.#queue.release();
    await this.#queue.driver.close(this.sessionId);
  }

  async #setFormat(): Promise<void> {
    const current = await this.#queue.readFormat();
    const { width, height } = this.#options.size ?? current;
    const chosen = await this.#choose(current.fourcc);
    const { fourcc } = await this.#queue.setFormat({ fourcc: chosen, width, height });
    if (fourcc !== chosen)
      throw new CameraError(
        `the device does not take ${chosen}; it offers ${(await this.formats()).join(', ')}`,
      );
  }

  /** The first of: `format`, an offered preference, the current format if decodable, any decodable one, any offered. */
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
      return await this.#queue.driver.nextEvent(this.sessionId, Math.max(0, timeout));
    } catch (error) {
      if (!(error instanceof CommandTimeout)) throw error;
      const seconds = this.#options.timeout / 1000;
      throw new NoFrames(`the stream has started, but no frame came within ${seconds} s`);
    }
  }
}
