/** Writes frames to a file: one picture, or every frame. */
import { extname } from 'node:path';
import { decode, isJpeg } from './decoders.js';
import type { Frame } from './frame.js';
import type { ImageFormat } from './image-format.js';
import { completeJpeg } from './jpeg.js';
import { OutputFile } from './output-file.js';
import { encodeJpeg, encodePng } from './picture.js';

interface Kind {
  /** FOURCCs that the file can take without a new compression. */
  readonly prefer: readonly string[];
  /** true: every frame is written. false: only the last frame that is not damaged. */
  readonly every: boolean;
  encode(format: ImageFormat, planes: readonly Uint8Array[]): Uint8Array;
}

const JPEG = ['MJPG', 'JPEG'];

/** The kind of a file, by the suffix of its name. */
const kinds: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['.png', { prefer: [], every: false, encode: (format, planes) => encodePng(decode(format, planes)) }],
  ['.jpg', { prefer: JPEG, every: false, encode: jpegOf }],
  ['.jpeg', { prefer: JPEG, every: false, encode: jpegOf }],
  ['.raw', { prefer: [], every: true, encode: (_, planes) => Buffer.concat(planes) }],
  ['.mjpg', { prefer: JPEG, every: true, encode: jpegOf }],
  ['.mjpeg', { prefer: JPEG, every: true, encode: jpegOf }],
]);

export const recordingSuffixes: readonly string[] = [...kinds.keys()];

/** The JPEG frame of the camera, or another frame compressed here. */
function jpegOf(format: ImageFormat, planes: readonly Uint8Array[]): Uint8Array {
  return isJpeg(format.fourcc) ? completeJpeg(planes[0]!) : encodeJpeg(decode(format, planes));
}

export class Recording {
  /** FOURCCs that the file can take without a new compression. */
  readonly prefer: readonly string[];
  readonly #kind: Kind;
  readonly #file: OutputFile;
  #picture: readonly Uint8Array[] | undefined;

  /** Throws RangeError if the suffix of the name is unknown, a system error if the file is not writable. */
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

  /** Writes the frame or keeps a copy of it. Throws PictureError. */
  add(format: ImageFormat, { planes, damaged }: Frame): void {
    if (this.#kind.every) this.#file.write(this.#kind.encode(format, planes));
    else if (!damaged || !this.#picture) this.#picture = planes.map((plane) => Uint8Array.from(plane));
  }

  /** Writes the picture, if the file has one, and closes the file. Throws PictureError. */
  finish(format: ImageFormat): void {
    if (this.#picture) this.#file.write(this.#kind.encode(format, this.#picture));
    this.close();
  }

  /** Closes the file without the picture. A second call is harmless. */
  close(): void {
    this.#file.close();
  }
}
