/** A decoded picture, and its encoding as PNG or JPEG. */
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';

/** `data`: three bytes for each pixel (R, G, B), rows from the top, without padding. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** A frame cannot be decoded into a picture; `message` is a sentence. */
export class PictureError extends Error {}

const PNG_RGB = 2;
const JPEG_QUALITY = 90;

export function encodePng({ width, height, data }: Picture): Buffer {
  const png = new PNG({ width, height, inputColorType: PNG_RGB, inputHasAlpha: false, colorType: PNG_RGB });
  png.data = Buffer.from(data);
  return PNG.sync.write(png, { inputColorType: PNG_RGB, inputHasAlpha: false, colorType: PNG_RGB });
}

export function encodeJpeg({ width, height, data }: Picture): Buffer {
  const rgba = Buffer.alloc(width * height * 4, 0xff);
  for (let pixel = 0; pixel < width * height; pixel++)
    for (let i = 0; i < 3; i++) rgba[pixel * 4 + i] = data[pixel * 3 + i]!;
  return jpeg.encode({ width, height, data: rgba }, JPEG_QUALITY).data;
}
