/** A program of the host that feeds v4l2loopback with YUYV, frame after frame, until it is stopped. */
import { LoopbackWriter, type PictureSize } from './loopback-writer.js';
import { numberedPicture } from './numbered-picture.js';

export const WIDTH = 320;
export const HEIGHT = 180;
export const FRAME_BYTES = WIDTH * HEIGHT * 2;
const FRAME_MS = 40;

export class Producer {
  readonly #timer: NodeJS.Timeout;
  /** Bytes of a frame. */
  #bytes: number;
  #frames = 0;

  private constructor(private readonly writer: LoopbackWriter) {
    this.#bytes = this.#wholeBytes;
    this.#write();
    this.#timer = setInterval(() => this.#write(), FRAME_MS);
  }

  /** Resolves when the first frame is written. */
  static async start(path: string, size: PictureSize = { width: WIDTH, height: HEIGHT }): Promise<Producer> {
    return new Producer(await LoopbackWriter.open(path, size.width, size.height));
  }

  /** What the driver has made of the size that was asked for. */
  get size(): PictureSize {
    return this.writer.size;
  }

  /** From the next frame on, writes the first half of each. Returns how many bytes that is. */
  halve(): number {
    this.#bytes = this.#wholeBytes / 2;
    return this.#bytes;
  }

  /** Writes a whole frame at once, and from then on. */
  heal(): void {
    this.#bytes = this.#wholeBytes;
    this.#write();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.writer.close();
  }

  get #wholeBytes(): number {
    return this.size.width * this.size.height * 2;
  }

  #write(): void {
    this.writer.write(numberedPicture(this.#frames++, this.#bytes));
  }
}
