/** What a v4l2_format says about a frame, single- or multi-planar. */
import {
  format as formatRecord,
  pixFormat,
  pixFormatMplane,
  planePixFormat,
  VIDEO_MAX_PLANES,
} from '../v4l2/layout.js';
import { fourcc } from '../v4l2/names.js';
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

export function readImageFormat(bytes: Uint8Array, multiplanar: boolean): ImageFormat {
  const { fmt } = formatRecord.read(bytes);
  const record = multiplanar ? pixFormatMplane.read(fmt) : pixFormat.read(fmt);
  const { width, height, pixelformat, colorspace, ycbcrEnc, quantization } = record;
  const planes = 'planeFmt' in record ? planesOf(record) : [planeOf(record)];
  return { fourcc: fourcc(pixelformat), width, height, planes, colorspace, ycbcrEnc, quantization };
}

function planesOf({ planeFmt, numPlanes }: ReturnType<typeof pixFormatMplane.read>): ImagePlane[] {
  return Array.from({ length: Math.min(numPlanes, VIDEO_MAX_PLANES) }, (_, i) =>
    planeOf(planePixFormat.read(planeFmt, i * planePixFormat.size)),
  );
}

function planeOf({ bytesperline, sizeimage }: ImagePlane): ImagePlane {
  return { bytesperline, sizeimage };
}
