/** What a v4l2_format says about a frame, single- or multi-planar. */
import { format as formatRecord, pixFormat, pixFormatMplane, planePixFormat } from '../v4l2/layout.js';
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

export function fourccName(code: number): string {
  const raw = Buffer.alloc(4);
  raw.writeUInt32LE(code & ~BIG_ENDIAN);
  const name = raw.toString('latin1').trimEnd();
  return code >= BIG_ENDIAN ? `${name}-BE` : name;
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
  if (!multiplanar) {
    const { pixelformat, bytesperline, sizeimage, ...rest } = pixFormat.read(fmt);
    return { ...rest, fourcc: fourccName(pixelformat), planes: [{ bytesperline, sizeimage }] };
  }
  const { pixelformat, planeFmt, numPlanes, ...rest } = pixFormatMplane.read(fmt);
  const planes = Array.from({ length: numPlanes }, (_, i) =>
    planePixFormat.read(planeFmt, i * planePixFormat.size),
  );
  return { ...rest, fourcc: fourccName(pixelformat), planes };
}
