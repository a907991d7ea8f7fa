/** How far a capture or a transcode is: a line that is written over on a terminal, one plain line elsewhere. */
import type { FrameSummary } from './frame-count.js';
import type { ImageFormat } from './image-format.js';

const CLEAR_LINE = '\r\x1b[K';

export class ProgressLine {
  #what = '';

  constructor(
    private readonly stream: NodeJS.WriteStream,
    /** What is being done, such as `capturing 30 frames`. */
    private readonly task: string,
  ) {}

  start({ fourcc, width, height }: ImageFormat): void {
    this.#what = `${this.task} of ${fourcc} ${width}x${height}`;
    this.stream.write(this.stream.isTTY ? this.#what : `${this.#what}\n`);
  }

  show({ frames, arrivalFps }: Pick<FrameSummary, 'frames' | 'arrivalFps'>): void {
    if (!this.stream.isTTY) return;
    const rate = arrivalFps === null ? '' : `, ${arrivalFps.toFixed(1)} fps`;
    this.stream.write(`${CLEAR_LINE}${this.#what}: ${frames}${rate}`);
  }

  /** The terminal's line is empty again. */
  end(): void {
    if (this.stream.isTTY) this.stream.write(CLEAR_LINE);
  }
}
