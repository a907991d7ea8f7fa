/** Frames into a file: one picture, or all frames as they come. */
import { extname } from 'node:path';
import { decode, isJpeg } from './decoders.js';
import type { Frame } from './frame.js';
import type { ImageFormat } from './image-format.js';
import { completeJpeg } from './jpeg.js';
import { OutputFile } from './output-file.js';
import { encodeJpeg, encodePng } from './picture.js';

interface Kind {
  /** Formats that it is made of without loss, where the device has them. */
  readonly prefer: readonly string[];
  /** Every frame is written; otherwise the last one that is not damaged. */
  readonly every: boolean;
  encode(format: ImageFormat, planes: readonly Uint8Array[]): Uint8Array;
}

const JPEG = ['MJPG', 'JPEG'];

/** What a file holds, by its name's end. */
const kinds: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['.png', { prefer: [], every: false, encode: (format, planes) => encodePng(decode(format, planes)) }],
  ['.jpg', { prefer: JPEG, every: false, encode: jpegOf }],
  ['.jpeg', { prefer: JPEG, every: false, encode: jpegOf }],
  ['.raw', { prefer: [], every: true, encode: (_, planes) => Buffer.concat(planes) }],
  ['.mjpg', { prefer: JPEG, every: true, encode: jpegOf }],
  ['.mjpeg', { prefer: JPEG, every: true, encode: jpegOf }],
]);

export const recordingSuffixes: readonly string[] = [...kinds.keys()];

/** The frame as the camera compressed it, or compressed here. */
function jpegOf(format: ImageFormat, planes: readonly Uint8Array[]): Uint8Array {
  return isJpeg(format.fourcc) ? completeJpeg(planes[0]!) : encodeJpeg(decode(format, planes));
}

export class Recording {
  readonly prefer: readonly string[];
  readonly #kind: Kind;
  readonly #file: OutputFile;
  #picture: readonly Uint8Array[] | undefined;

  /** RangeError where the name says nothing of what it is to hold, a system error where it cannot be written. */
  constructor(path: string) {
    const kind = kinds.get(extname(path).toLowerCase());
    if (!kind) throw new RangeError(`the name must end in one of ${recordingSuffixes.join(', ')}`);
    this.#file = new OutputFile(path);
    this.prefer = kind.prefer;
    this.#kind = kind;
  }

  /** Bytes written so far. */
  get bytes(): number {
    return this.#file.bytes;
  }

  /** Copies what it needs. Throws PictureError. */
  add(format: ImageFormat, { planes, damaged }: Frame): void {
    if (this.#kind.every) this.#file.write(this.#kind.encode(format, planes));
    else if (!damaged || !this.#picture) this.#picture = planes.map((plane) => Uint8Array.from(plane));
  }

  /** Writes what is left, and closes the file. Throws PictureError. */
  finish(format: ImageFormat): void {
    if (this.#picture) this.#file.write(this.#kind.encode(format, this.#picture));
    this.close();
  }

  /** Leaves the file as it is. Twice is harmless. */
  close(): void {
    this.#file.close();
  }
}
