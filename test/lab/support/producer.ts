/** A program of the host that feeds v4l2loopback with YUYV, frame after frame, until it is stopped. */
import { LoopbackWriter } from './loopback-writer.js';

export const WIDTH = 320;
export const HEIGHT = 180;
export const FRAME_BYTES = WIDTH * HEIGHT * 2;
const FRAME_MS = 40;

export class Producer {
  readonly #timer: NodeJS.Timeout;

  private constructor(private readonly writer: LoopbackWriter) {
    const frame = Buffer.alloc(FRAME_BYTES, 0x80);
    writer.write(frame);
    this.#timer = setInterval(() => writer.write(frame), FRAME_MS);
  }

  /** Resolves when the first frame is written. */
  static async start(path: string): Promise<Producer> {
    return new Producer(await LoopbackWriter.open(path, WIDTH, HEIGHT));
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.writer.close();
  }
}
