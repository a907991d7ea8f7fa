/** What a v4l2_format says about a frame, single- or multi-planar. */
import {
  format as formatRecord,
  pixFormat,
  pixFormatMplane,
  planePixFormat,
  VIDEO_MAX_PLANES,
} from '../v4l2/layout.js';
import type { Colour } from './colour.js';

export interface ImagePlane {
  readonly bytesperline: number;
  readonly sizeimage: number;
}

export interface ImageFormat extends Colour {
  /** The four characters; big-endian formats carry the suffix -BE. */
  readonly fourcc: string;
  readonly width: number;
  readonly height: number;
  /** Memory planes: one, whatever the format, for single-planar types. */
  readonly planes: readonly ImagePlane[];
}

/** V4L2 marks big-endian variants in the top bit of the code. */
const BIG_ENDIAN = 0x8000_0000;

/** Hexadecimal where a byte is no printable letter. */
export function fourccName(code: number): string {
  const raw = Buffer.alloc(4);
  raw.writeUInt32LE((code & ~BIG_ENDIAN) >>> 0);
  const name = raw.toString('latin1');
  if (!/^[\x20-\x7e]{4}$/.test(name)) return `0x${code.toString(16).padStart(8, '0')}`;
  return code >= BIG_ENDIAN ? `${name.trimEnd()}-BE` : name.trimEnd();
}

/** RangeError unless it is four characters or fewer, with or without -BE. */
export function fourccCode(name: string): number {
  const match = /^([\x20-\x7e]{1,4}?)(-BE)?$/.exec(name);
  if (!match) throw new RangeError(`${name} is no FOURCC: four characters, such as YUYV or MJPG`);
  const code = Buffer.from(match[1]!.padEnd(4, ' '), 'latin1').readUInt32LE();
  return match[2] ? code + BIG_ENDIAN : code;
}

export function readImageFormat(bytes: Uint8Array, multiplanar: boolean): ImageFormat {
  const { fmt } = formatRecord.read(bytes);
  const record = multiplanar ? pixFormatMplane.read(fmt) : pixFormat.read(fmt);
  const { width, height, pixelformat, colorspace, ycbcrEnc, quantization } = record;
  const planes = 'planeFmt' in record ? planesOf(record) : [planeOf(record)];
  return { fourcc: fourccName(pixelformat), width, height, planes, colorspace, ycbcrEnc, quantization };
}

function planesOf({ planeFmt, numPlanes }: ReturnType<typeof pixFormatMplane.read>): ImagePlane[] {
  return Array.from({ length: Math.min(numPlanes, VIDEO_MAX_PLANES) }, (_, i) =>
    planeOf(planePixFormat.read(planeFmt, i * planePixFormat.size)),
  );
}

function planeOf({ bytesperline, sizeimage }: ImagePlane): ImagePlane {
  return { bytesperline, sizeimage };
}
