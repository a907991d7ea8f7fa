/** Progress of a capture or a transcode. On a terminal one line is updated; elsewhere one plain line is written. */
import type { FrameSummary } from './frame-count.js';
import type { ImageFormat } from './image-format.js';

const CLEAR_LINE = '\r\x1b[K';

export class ProgressLine {
  #what = '';

  constructor(
    private readonly stream: NodeJS.WriteStream,
    /** The current work, for example `capturing 30 frames`. */
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

  /** Clears the line of the terminal. */
  end(): void {
    if (this.stream.isTTY) this.stream.write(CLEAR_LINE);
  }
}
