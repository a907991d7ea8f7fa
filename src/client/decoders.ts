/** Decoders from frames to pictures, by FOURCC. */
import type { ImageFormat } from './image-format.js';
import { decodeJpeg } from './jpeg.js';
import { type Picture, PictureError } from './picture.js';
import { decodeRgb, rgbFormats } from './rgb.js';
import { decodeYuv, yuvFormats } from './yuv.js';

const JPEG_FORMATS = ['MJPG', 'JPEG'];

type Decoder = (format: ImageFormat, planes: readonly Uint8Array[]) => Picture;

const decoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ...[...yuvFormats.keys()].map((fourcc) => [fourcc, decodeYuv] as const),
  ...[...rgbFormats.keys()].map((fourcc) => [fourcc, decodeRgb] as const),
  ...JPEG_FORMATS.map(
    (fourcc) => [fourcc, (_: ImageFormat, planes: readonly Uint8Array[]) => decodeJpeg(planes[0]!)] as const,
  ),
]);

/** FOURCCs of the formats that can be decoded. */
export const knownFormats: readonly string[] = [...decoders.keys()];

export function isJpeg(fourcc: string): boolean {
  return JPEG_FORMATS.includes(fourcc);
}

/** Decodes one frame. `planes`: the used bytes of each memory plane. Throws PictureError. */
export function decode(format: ImageFormat, planes: readonly Uint8Array[]): Picture {
  const decoder = decoders.get(format.fourcc);
  if (!decoder)
    throw new PictureError(
      `${format.fourcc} cannot be made into a picture; these can: ${knownFormats.join(', ')}`,
    );
  return decoder(format, planes);
}
