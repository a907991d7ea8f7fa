/** What a black picture is in a format (Linux, Documentation: "Image Formats"). Luma is 16 and chroma 128, of 8 bits. */
import { isMultiplanar } from '../../v4l2/buffer-type.js';
import { BufferType, format, pixFormat, pixFormatMplane, planePixFormat } from '../../v4l2/layout.js';
import { fourccCode } from '../../v4l2/names.js';
import { blackJpeg } from './black-jpeg.js';

/** Bytes that are the same again and again. */
interface Run {
  readonly bytes: number;
  readonly pattern: Uint8Array;
}

/** One plane: its runs, one after the other, and then zeros. `used`: bytes of the picture. */
export interface BlackPlane {
  readonly used: number;
  readonly runs: readonly Run[];
}

export interface BlackFrame {
  readonly planes: readonly BlackPlane[];
  /** V4L2_FIELD_* of the format. */
  readonly field: number;
}

/** A format without a picture in it: zeros. */
export const emptyPlane: BlackPlane = { used: 0, runs: [] };

/** The pattern of luma or of all components, and that of chroma if it is apart. */
type Row = readonly [first: readonly number[], chroma?: readonly number[]];

const ZERO = [0];
const [Y, C] = [0x10, 0x80];
const planar: Row = [[Y], [C]];
const yFirst: Row = [[Y, C]];
/** 10 and 12 bits, in the upper bits of 16. */
const wide: Row = [
  [0, Y],
  [0, C],
];

// biome-ignore format: a table
const rows: Readonly<Record<string, Row>> = {
  // Y at every second byte.
  YUYV: yFirst, YVYU: yFirst, UYVY: [[C, Y]], VYUY: [[C, Y]],
  // 4:4:4, all in one.
  YUV3: [[Y, C, C]], AYUV: [[0xff, Y, C, C]], XYUV: [[0xff, Y, C, C]], VUYA: [[C, C, Y, 0xff]], VUYX: [[C, C, Y, 0xff]],
  YUVA: [[Y, C, C, 0xff]], YUVX: [[Y, C, C, 0xff]],
  // Luma, then chroma.
  NV12: planar, NV21: planar, NV16: planar, NV61: planar, NV24: planar, NV42: planar, P010: wide, P012: wide,
  YU12: planar, YV12: planar, '422P': planar, '411P': planar, YUV9: planar, YVU9: planar,
  // The same with a memory area for each.
  NM12: planar, NM21: planar, NM16: planar, NM61: planar,
  YM12: planar, YM21: planar, YM16: planar, YM61: planar, YM24: planar, YM42: planar,
  // Black is 0.
  GREY: [ZERO], 'Y10 ': [ZERO], 'Y12 ': [ZERO], 'Y14 ': [ZERO], 'Y16 ': [ZERO],
  RGB3: [ZERO], BGR3: [ZERO], RGBP: [ZERO], RGBR: [ZERO], RGBO: [ZERO], XR15: [ZERO],
  BX24: [ZERO], XB24: [ZERO], XR24: [ZERO], RX24: [ZERO],
  BA24: [[0xff, 0, 0, 0]], RA24: [[0xff, 0, 0, 0]], AR24: [[0, 0, 0, 0xff]], AB24: [[0, 0, 0, 0xff]],
  BA81: [ZERO], GBRG: [ZERO], GRBG: [ZERO], RGGB: [ZERO],
  BG10: [ZERO], GB10: [ZERO], BA10: [ZERO], RG10: [ZERO], pBAA: [ZERO], pGAA: [ZERO], pgAA: [ZERO], pRAA: [ZERO],
  BG12: [ZERO], GB12: [ZERO], BA12: [ZERO], RG12: [ZERO], BYR2: [ZERO], GB16: [ZERO], GR16: [ZERO], RG16: [ZERO],
};
const uncompressed = new Map(Object.entries(rows).map(([name, row]) => [fourccCode(name), row]));
const jpegs = new Set(['MJPG', 'JPEG'].map(fourccCode));

/** The picture of a format as this file needs it. Sizes are in bytes. */
interface Picture {
  readonly width: number;
  readonly height: number;
  readonly pixelformat: number;
  readonly field: number;
  readonly areas: readonly { readonly sizeimage: number; readonly bytesperline: number }[];
}

/**
 * A black picture of `current`, a struct v4l2_format (208 bytes). null: it is no format of pictures, or it is not known how
 * black looks in it.
 */
export function blackFrame(current: Uint8Array): BlackFrame | null {
  const picture = pictureOf(current);
  if (!picture) return null;
  const { areas, field, pixelformat } = picture;
  if (jpegs.has(pixelformat)) return jpegFrame(picture);
  const row = uncompressed.get(pixelformat);
  if (!row) return null;
  const [first, chroma] = row.map((pattern) => Uint8Array.from(pattern ?? []));
  const planes = areas.map(({ sizeimage, bytesperline }, number) => {
    const own = number === 0 || !chroma ? first! : chroma;
    const luma = areas.length > 1 || !chroma ? sizeimage : Math.min(sizeimage, bytesperline * picture.height);
    const runs = [
      { bytes: luma, pattern: own },
      ...(chroma ? [{ bytes: sizeimage - luma, pattern: chroma }] : []),
    ];
    return { used: sizeimage, runs };
  });
  return { planes, field };
}

function jpegFrame({ width, height, areas, field }: Picture): BlackFrame | null {
  const [area] = areas;
  const isSane =
    width > 0 && height > 0 && Math.max(width, height) <= 0xffff && width * height <= MAX_JPEG_PIXELS;
  if (!area || areas.length > 1 || !isSane) return null;
  const pattern = blackJpeg(width, height);
  const { length: bytes } = pattern;
  return bytes <= area.sizeimage ? { planes: [{ used: bytes, runs: [{ bytes, pattern }] }], field } : null;
}

/** Larger ones take too long to make in one turn of the loop: 8192 x 4320 has 32 MB of bits. */
const MAX_JPEG_PIXELS = 4096 * 2304;

function pictureOf(current: Uint8Array): Picture | null {
  const { type, fmt } = format.read(current);
  if (type === BufferType.VIDEO_CAPTURE) {
    const { sizeimage, bytesperline, ...rest } = pixFormat.read(fmt);
    return { ...rest, areas: [{ sizeimage, bytesperline }] };
  }
  if (!isMultiplanar(type)) return null;
  const { planeFmt, numPlanes, ...rest } = pixFormatMplane.read(fmt);
  const count = Math.min(numPlanes, 8);
  return {
    ...rest,
    areas: Array.from({ length: count }, (_, n) => planePixFormat.read(planeFmt, n * planePixFormat.size)),
  };
}

/** Fills `target` with what the plane has from its byte `at` on. */
export function fill({ runs }: BlackPlane, target: Uint8Array, at: number): void {
  target.fill(0);
  let start = 0;
  for (const { bytes, pattern } of runs) {
    const from = Math.max(start, at);
    const to = Math.min(start + bytes, at + target.length);
    if (from < to) repeat(target.subarray(from - at, to - at), pattern, from - start);
    start += bytes;
  }
}

/** Repeats `pattern` over the whole of `target`, beginning with its byte `phase`. */
function repeat(target: Uint8Array, pattern: Uint8Array, phase: number): void {
  const skip = phase % pattern.length;
  const turned = Buffer.concat([pattern.subarray(skip), pattern.subarray(0, skip)]).subarray(
    0,
    target.length,
  );
  Buffer.from(target.buffer, target.byteOffset, target.length).fill(turned);
}
