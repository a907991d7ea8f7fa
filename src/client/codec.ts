/**
 * A mem-to-mem device, used as an application would: frames go into its OUTPUT queue and come out of its CAPTURE queue
 * (Linux Documentation: "Memory-to-Memory Stateful Video Decoder Interface", and the same for encoders).
 */
import { CODEC_CMD_START, CODEC_CMD_STOP, EventType, SOURCE_CHANGE_RESOLUTION } from '../v4l2/layout.js';
import {
  type CodecFormatRequest,
  type CodecFormats,
  type CodecRole,
  negotiate,
  queueTypes,
} from './codec-formats.js';
import { codecCommand, hasCommands, minimumBuffers, type Side, subscribe } from './codec-ioctls.js';
import { CommandTimeout, DriverError } from './driver-error.js';
import type { MediaEvent } from './event-lane.js';
import type { Frame } from './frame.js';
import type { GuestDriver } from './guest-driver.js';
import type { ImageFormat } from './image-format.js';
import { type MemoryKind, VideoQueue } from './video-queue.js';

export interface CodecOptions extends CodecFormatRequest {
  /** Buffers of each queue. It is more if the device reports a higher minimum. */
  readonly buffers: number;
  readonly memory: MemoryKind;
  /** Milliseconds to wait for the next event of the device. */
  readonly timeout: number;
}

const defaults: CodecOptions = { buffers: 4, memory: 'mmap', timeout: 5000 };

/** The device cannot do what is asked for; `message` is a sentence. */
export class CodecError extends Error {}
/** The device has frames to process, but sent no event in time. */
export class CodecStalled extends CodecError {}

/** The frames of a stream, plane by plane. Codec copies a frame before it asks for the next one. */
export type FrameSource = Iterator<readonly Uint8Array[], unknown, undefined>;

export class Codec {
  /** Frames queued to the device since the session was opened; `framesOut`: frames that came out. */
  framesIn = 0;
  framesOut = 0;
  /** OUTPUT buffers that came back with V4L2_BUF_FLAG_ERROR. */
  refused = 0;
  /** EOS events. */
  ends = 0;
  /** The CAPTURE formats so far. `at`: how many frames had come out before the format was set. */
  readonly resolutions: { format: ImageFormat; at: number }[] = [];
  readonly role: CodecRole;
  readonly #driver: GuestDriver;
  readonly #output: VideoQueue;
  readonly #capture: VideoQueue;
  readonly #options: CodecOptions;
  /** Indices of OUTPUT buffers that are not queued. */
  readonly #idle = new Set<number>();
  /** The source of this run() has no more frames. */
  #sourceEnded = false;
  /** STOP was sent: a LAST buffer will come. */
  #draining = false;
  /** A SOURCE_CHANGE event has come, its LAST buffer has not. */
  #changed = false;
  #drained = false;
  /** Index of the CAPTURE buffer that ended the drain with the LAST flag. */
  #last = 0;

  private constructor(output: VideoQueue, capture: VideoQueue, role: CodecRole, options: CodecOptions) {
    this.#driver = output.driver;
    this.#output = output;
    this.#capture = capture;
    this.role = role;
    this.#options = options;
  }

  /**
   * Opens a session and sets the formats. `deviceCaps`: from the configuration space. Throws CodecError, FormatRefused,
   * DriverError.
   */
  static async open(
    driver: GuestDriver,
    deviceCaps: number,
    options: Partial<CodecOptions> = {},
  ): Promise<Codec> {
    const types = queueTypes(deviceCaps);
    if (!types) throw new CodecError('the device is not a mem-to-mem device: it does not process frames');
    const request = { ...defaults, ...options };
    const sessionId = await driver.open();
    try {
      const output = new VideoQueue(driver, sessionId, types.output);
      const capture = new VideoQueue(driver, sessionId, types.capture);
      return new Codec(output, capture, await negotiate(output, capture, request), request);
    } catch (error) {
      await driver.close(sessionId);
      throw error;
    }
  }

  get sessionId(): number {
    return this.#output.sessionId;
  }

  get formats(): CodecFormats {
    return { output: this.#output.format, capture: this.#capture.format };
  }

  /** How many buffers each queue has. */
  get buffers(): { output: number; capture: number } {
    return { output: this.#output.count, capture: this.#capture.count };
  }

  /** Allocates buffers and starts the queues. A decoder's CAPTURE queue starts after its first SOURCE_CHANGE event. */
  async start(): Promise<void> {
    for (const type of [EventType.EOS, EventType.SOURCE_CHANGE])
      await subscribe(this.#driver, this.sessionId, type);
    await this.#output.allocate(this.#options.memory, await this.#wanted('output'));
    this.#release();
    await this.#output.on();
    if (this.role !== 'decoder') await this.#startCapture();
  }

  /**
   * The frames that the device makes from `source`, until it is drained. A frame's buffer is queued again when the
   * caller asks for the next frame. Throws CodecStalled.
   */
  async *run(source: FrameSource): AsyncGenerator<Frame, void, undefined> {
    this.#sourceEnded = false;
    this.#drained = false;
    for (;;) {
      await this.#feed(source);
      if (this.#isDone) return;
      const event = await this.#nextEvent();
      if (event.kind !== 'dqbuf' || event.buffer.type !== this.#capture.type) {
        await this.#attend(event);
        if (this.#changed && !this.#capture.streaming) await this.#changeResolution();
        continue;
      }
      const frame = this.#capture.frame(event);
      // A codec returns an empty frame with the LAST flag, or if it could not process the source frame.
      if (frame.bytesused > 0 || this.role === 'converter') {
        this.framesOut++;
        yield frame;
      }
      await this.#take(frame);
    }
  }

  /**
   * After a drain: the next run() continues the same stream, after STREAMOFF and STREAMON, or after START. START does
   * not end EPIPE for encoders in the guest's driver, nor for any codec in vicodec. So only a decoder gets START, and
   * only if `how` is 'command'.
   */
  async restart(how: 'command' | 'stream' = 'stream'): Promise<void> {
    if (how === 'command' && this.role === 'decoder') {
      await this.#command(CODEC_CMD_START);
      await this.#capture.queue(this.#last);
    } else {
      await this.#capture.off();
      await this.#forgetEvents();
      await this.#resumeCapture();
    }
    this.#draining = false;
  }

  /** Drops all frames in the device. The next run() starts at another place of the stream, or in another stream. */
  async seek(): Promise<void> {
    await this.#output.off();
    await this.#capture.off();
    await this.#forgetEvents();
    this.#release();
    this.#draining = false;
    await this.#output.on();
    await this.#resumeCapture();
  }

  /** Stops, frees the buffers and closes the session. */
  async release(): Promise<void> {
    await this.#output.release();
    await this.#capture.release();
    await this.close();
  }

  /** Sends only CLOSE, as for a program that was killed. Its mappings stay. */
  close(): Promise<void> {
    return this.#driver.close(this.sessionId);
  }

  get #isDone(): boolean {
    if (this.role !== 'converter') return this.#drained;
    return this.#sourceEnded && this.framesOut >= this.framesIn;
  }

  /** Fills and queues the free OUTPUT buffers. Starts the drain (STOP) when the source has no more frames. */
  async #feed(source: FrameSource): Promise<void> {
    for (const index of this.#idle) {
      const next = this.#sourceEnded ? undefined : source.next();
      if (!next || next.done) {
        this.#sourceEnded = true;
        break;
      }
      await this.#output.queue(index, { planes: next.value, timestamp: this.framesIn });
      this.#idle.delete(index);
      this.framesIn++;
    }
    // A device ignores STOP while its CAPTURE queue does not stream.
    if (!this.#sourceEnded || this.#draining || !this.#capture.streaming || !hasCommands(this.role)) return;
    this.#draining = true;
    await this.#command(CODEC_CMD_STOP);
  }

  readonly #attendants: Readonly<Record<MediaEvent['kind'], (event: never) => Promise<void>>> = {
    dqbuf: async ({ buffer, planes }: MediaEvent & { kind: 'dqbuf' }) => {
      const { index, damaged } = this.#output.frame({ buffer, planes });
      this.#idle.add(index);
      if (damaged) this.refused++;
    },
    event: async ({ event }: MediaEvent & { kind: 'event' }) => {
      if (event.type === EventType.EOS) this.ends++;
      const changes = event.type === EventType.SOURCE_CHANGE ? Buffer.from(event.u).readUInt32LE() : 0;
      if (changes & SOURCE_CHANGE_RESOLUTION) this.#changed = true;
    },
    error: async ({ errno }: MediaEvent & { kind: 'error' }) => {
      throw new DriverError('EVT_ERROR', errno);
    },
  };

  #attend(event: MediaEvent): Promise<void> {
    return this.#attendants[event.kind](event as never);
  }

  async #take(frame: Frame): Promise<void> {
    if (!frame.last) return this.#capture.queue(frame.index);
    if (this.#changed) return this.#changeResolution();
    this.#last = frame.index;
    this.#drained = this.#draining;
  }

  /** All frames of the old resolution have come out. The new resolution needs new CAPTURE buffers. */
  async #changeResolution(): Promise<void> {
    this.#changed = false;
    // STREAMOFF of CAPTURE ends a drain in the kernel (v4l2_m2m_update_stop_streaming_state).
    this.#draining = false;
    await this.#capture.release();
    await this.#capture.readFormat();
    const { fourcc } = this.#options.capture ?? {};
    if (fourcc !== undefined && fourcc !== this.#capture.format.fourcc)
      await this.#capture.setFormat({ ...this.#capture.format, fourcc });
    await this.#startCapture();
  }

  /** Restarts CAPTURE after a STREAMOFF. One of the waiting events may have been a change of the resolution. */
  async #resumeCapture(): Promise<void> {
    if (this.#changed) return this.#changeResolution();
    if (this.#capture.count === 0) return;
    await this.#capture.queueAll();
    await this.#capture.on();
  }

  async #startCapture(): Promise<void> {
    this.resolutions.push({ format: this.#capture.format, at: this.framesOut });
    await this.#capture.allocate(this.#options.memory, await this.#wanted('capture'));
    await this.#capture.queueAll();
    await this.#capture.on();
  }

  async #wanted(side: Side): Promise<number> {
    return Math.max(this.#options.buffers, await minimumBuffers(this.#driver, this.sessionId, side));
  }

  #command(command: number): Promise<void> {
    return codecCommand(this.#driver, this.sessionId, this.role, command);
  }

  /** Marks every OUTPUT buffer as free. */
  #release(): void {
    for (let index = 0; index < this.#output.count; index++) this.#idle.add(index);
  }

  /** Drops waiting DQBUF events, as Linux does: STREAMOFF has returned their buffers. V4L2 events are processed. */
  async #forgetEvents(): Promise<void> {
    while (this.#driver.waitingEvents(this.sessionId) > 0) {
      const event = await this.#driver.nextEvent(this.sessionId);
      if (event.kind !== 'dqbuf') await this.#attend(event);
    }
  }

  async #nextEvent(): Promise<MediaEvent> {
    const { timeout } = this.#options;
    try {
      return await this.#driver.nextEvent(this.sessionId, timeout);
    } catch (error) {
      if (!(error instanceof CommandTimeout)) throw error;
      const { framesIn, framesOut } = this;
      const what = this.resolutions.length > 0 ? 'no frame came' : 'it found no stream in them';
      throw new CodecStalled(
        `the device was given ${framesIn} frames and gave ${framesOut}, but ${what} within ${timeout / 1000} s`,
      );
    }
  }
}
