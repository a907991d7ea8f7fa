/** An input file with frames: raw frames one after the other, or a compressed stream. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { BitstreamError, type Bytes, bitstreams, type Span } from './bitstreams.js';
import type { ImageFormat } from './image-format.js';

/** The frames of a file, and the values that S_FMT needs. */
export interface Cut {
  readonly spans: readonly Span[];
  /** Bytes of the largest frame. */
  readonly largest: number;
  /** Size of the frames in pixels; undefined: the stream does not contain it. */
  readonly size: { readonly width: number; readonly height: number } | undefined;
}

export class FrameFile implements Bytes {
  readonly #fd: number;
  readonly size: number;

  /** Throws a system error if the file cannot be opened, BitstreamError if it is empty or not a regular file. */
  constructor(readonly path: string) {
    this.#fd = openSync(path, 'r');
    const status = fstatSync(this.#fd);
    this.size = status.size;
    if (status.isFile() && status.size > 0) return;
    closeSync(this.#fd);
    throw new BitstreamError(status.isFile() ? 'is empty' : 'is no ordinary file');
  }

  read(offset: number, length: number): Buffer {
    const bytes = Buffer.alloc(Math.max(0, Math.min(length, this.size - offset)));
    let filled = 0;
    for (let got = -1; filled < bytes.length && got !== 0; filled += got)
      got = readSync(this.#fd, bytes, filled, bytes.length - filled, offset + filled);
    return bytes.subarray(0, filled);
  }

  /** Finds the frames of a compressed format. Throws BitstreamError. */
  cutStream(fourcc: string): Cut {
    const stream = bitstreams.get(fourcc);
    if (!stream) {
      const known = [...bitstreams].map(([code, { name }]) => `${code} (${name})`).join(', ');
      throw new BitstreamError(`cannot be cut into frames of ${fourcc}: known are raw formats, ${known}`);
    }
    const spans = [...stream.spans(this)];
    const largest = spans.reduce((most, { length }) => Math.max(most, length), 0);
    return { spans, largest, size: stream.size?.(this) };
  }

  /** Finds the frames of a raw format. Throws BitstreamError if the file is not a whole number of frames. */
  cutRaw({ fourcc, width, height, planes }: ImageFormat): Cut {
    const length = planes.reduce((sum, { sizeimage }) => sum + sizeimage, 0);
    if (this.size % length !== 0)
      throw new BitstreamError(
        `is not a whole number of frames: it has ${this.size} bytes, a frame of ${fourcc} ${width}x${height} has ${length}`,
      );
    const spans = Array.from({ length: this.size / length }, (_, i) => ({ offset: i * length, length }));
    return { spans, largest: length, size: undefined };
  }

  /** The frames at `spans`, cut into planes of `sizes` bytes. A compressed frame has one plane. */
  *frames(
    spans: readonly Span[],
    sizes: readonly number[],
  ): Generator<readonly Uint8Array[], void, undefined> {
    for (const { offset, length } of spans) {
      const bytes = this.read(offset, length);
      const planes: Buffer[] = [];
      let at = 0;
      for (const size of sizes) {
        planes.push(bytes.subarray(at, at + size));
        at += size;
      }
      yield planes;
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}
