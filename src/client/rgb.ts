/** Uncompressed RGB formats of 24 and 32 bits. */
import { isFullRange, lumaTable, Quantization } from './colour.js';
import type { ImageFormat } from './image-format.js';
import type { Picture } from './picture.js';

/** Bytes of a pixel, and the offsets of red, green and blue in it. */
type RgbLayout = readonly [step: number, red: number, green: number, blue: number];

/** By FOURCC. */
export const rgbFormats: ReadonlyMap<string, RgbLayout> = new Map<string, RgbLayout>([
  ['RGB3', [3, 0, 1, 2]],
  ['BGR3', [3, 2, 1, 0]],
  ['XR24', [4, 2, 1, 0]],
  ['AR24', [4, 2, 1, 0]],
  ['BX24', [4, 1, 2, 3]],
  ['BA24', [4, 1, 2, 3]],
  ['XB24', [4, 0, 1, 2]],
  ['AB24', [4, 0, 1, 2]],
]);

/** How many bytes the one memory plane must have. `format` must be one of rgbFormats. */
export function rgbBytes({ fourcc, width, height, planes }: ImageFormat): number[] {
  const [step] = rgbFormats.get(fourcc)!;
  return [planes[0]!.bytesperline * (height - 1) + width * step];
}

/** `format` must be one of rgbFormats; `planes` must have rgbBytes. */
export function decodeRgb(format: ImageFormat, planes: readonly Uint8Array[]): Picture {
  const { fourcc, width, height } = format;
  const [step, ...places] = rgbFormats.get(fourcc)!;
  const stride = format.planes[0]!.bytesperline;
  const bytes = planes[0]!;
  const table = lumaTable(isFullRange(format, Quantization.FULL_RANGE));
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0, out = 0; y < height; y++)
    for (let x = 0, at = y * stride; x < width; x++, at += step)
      for (const place of places) data[out++] = table[bytes[at + place]!]!;
  return { width, height, data };
}
