/** Frames into a file: one picture, or all frames as they come. */
import { accessSync, closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { dirname, extname } from 'node:path';
import type { Frame } from './camera.js';
import { decode, isJpeg } from './decoders.js';
import type { ImageFormat } from './image-format.js';
import { completeJpeg } from './jpeg.js';
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
  readonly path: string;
  readonly prefer: readonly string[];
  /** Bytes written so far. */
  bytes = 0;
  readonly #kind: Kind;
  #fd: number | undefined;
  #picture: readonly Uint8Array[] | undefined;

  /**
   * The file is made when there is something to write. RangeError where the name says nothing of what it is to hold, a
   * system error where it cannot be written.
   */
  constructor(path: string) {
    const kind = kinds.get(extname(path).toLowerCase());
    if (!kind) throw new RangeError(`the name must end in one of ${recordingSuffixes.join(', ')}`);
    accessSync(existsSync(path) ? path : dirname(path), constants.W_OK);
    this.path = path;
    this.prefer = kind.prefer;
    this.#kind = kind;
  }

  /** Copies what it needs. Throws PictureError. */
  add(format: ImageFormat, { planes, damaged }: Frame): void {
    if (this.#kind.every) this.#write(this.#kind.encode(format, planes));
    else if (!damaged || !this.#picture) this.#picture = planes.map((plane) => Uint8Array.from(plane));
  }

  /** Writes what is left, and closes the file. Throws PictureError. */
  finish(format: ImageFormat): void {
    if (this.#picture) this.#write(this.#kind.encode(format, this.#picture));
    this.close();
  }

  /** Leaves the file as it is. Twice is harmless. */
  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #write(bytes: Uint8Array): void {
    this.#fd ??= openSync(this.path, 'w');
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#fd, bytes, at);
    this.bytes += bytes.length;
  }
}
