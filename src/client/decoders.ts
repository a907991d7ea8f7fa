/** Decoders from frames to pictures, by FOURCC. */
import type { ImageFormat } from './image-format.js';
import { checkJpeg, decodeJpeg, JPEG_FORMATS, salvageJpeg } from './jpeg.js';
import { ABSENT, DamagedFrame, type Picture, PictureError, type Salvage } from './picture.js';
import { decodeRgb, rgbBytes, rgbFormats } from './rgb.js';
import { decodeYuv, yuvBytes, yuvFormats } from './yuv.js';

type Planes = readonly Uint8Array[];

interface Decoder {
  /** Throws DamagedFrame if the frame is damaged and that shows without much work. */
  check(format: ImageFormat, planes: Planes): void | Promise<void>;
  /** Throws DamagedFrame if the frame is damaged. */
  decode(format: ImageFormat, planes: Planes): Picture | Promise<Picture>;
  /** Throws DamagedFrame if nothing can be shown. */
  salvage(format: ImageFormat, planes: Planes): Salvage | Promise<Salvage>;
}

/** `needed`: how many bytes each memory plane must have. `decode` reads no others. */
function uncompressed(
  needed: (format: ImageFormat) => readonly number[],
  decode: (format: ImageFormat, planes: Planes) => Picture,
): Decoder {
  const check = (format: ImageFormat, planes: Planes) => demand(format, planes, needed(format));
  return {
    check,
    decode: (format, planes) => {
      check(format, planes);
      return decode(format, planes);
    },
    salvage: (format, planes) => {
      const lengths = needed(format);
      const arrived = lengths.map((length, plane) => Math.min(length, planes[plane]?.length ?? 0));
      const padded = lengths.map((length, plane) => {
        const whole = new Uint8Array(length).fill(ABSENT);
        whole.set((planes[plane] ?? whole).subarray(0, arrived[plane]));
        return whole;
      });
      return { picture: decode(format, padded), missing: (sum(lengths) - sum(arrived)) / sum(lengths) };
    },
  };
}

const jpegDecoder: Decoder = {
  check: (_, planes) => checkJpeg(planes[0]!),
  decode: (_, planes) => decodeJpeg(planes[0]!),
  salvage: (_, planes) => salvageJpeg(planes[0]!),
};

const decoders: ReadonlyMap<string, Decoder> = new Map<string, Decoder>([
  ...[...yuvFormats.keys()].map((fourcc) => [fourcc, uncompressed(yuvBytes, decodeYuv)] as const),
  ...[...rgbFormats.keys()].map((fourcc) => [fourcc, uncompressed(rgbBytes, decodeRgb)] as const),
  ...JPEG_FORMATS.map((fourcc) => [fourcc, jpegDecoder] as const),
]);

/** FOURCCs of the formats that can be decoded. */
export const knownFormats: readonly string[] = [...decoders.keys()];

export function isJpeg(fourcc: string): boolean {
  return JPEG_FORMATS.includes(fourcc);
}

/**
 * Rejects with DamagedFrame if the frame is too short, or if its markers show that a part is missing. Nothing is known of
 * formats that cannot be decoded. `planes`: the used bytes of each memory plane.
 */
export async function check(format: ImageFormat, planes: Planes): Promise<void> {
  await decoders.get(format.fourcc)?.check(format, planes);
}

/** Decodes one whole frame. Rejects with PictureError if the format is unknown, else with DamagedFrame. */
export async function decode(format: ImageFormat, planes: Planes): Promise<Picture> {
  return decoderOf(format).decode(format, planes);
}

/** Decodes what a damaged frame has. Rejects with PictureError; DamagedFrame: there is nothing that could be shown. */
export async function salvage(format: ImageFormat, planes: Planes): Promise<Salvage> {
  return decoderOf(format).salvage(format, planes);
}

function decoderOf({ fourcc }: ImageFormat): Decoder {
  const decoder = decoders.get(fourcc);
  if (decoder) return decoder;
  throw new PictureError(`${fourcc} cannot be made into a picture; these can: ${knownFormats.join(', ')}`);
}

function demand({ fourcc, width, height }: ImageFormat, planes: Planes, needed: readonly number[]): void {
  for (const [plane, bytes] of needed.entries()) {
    const length = planes[plane]?.length ?? 0;
    if (length < bytes)
      throw new DamagedFrame(
        `the frame is cut short: plane ${plane} has ${length} bytes, ${width}x${height} ${fourcc} needs ${bytes}`,
      );
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
