/** The format of a frame, read from a single- or multi-planar v4l2_format. */
import {
  format as formatRecord,
  pixFormat,
  pixFormatMplane,
  planePixFormat,
  VIDEO_MAX_PLANES,
} from '../v4l2/layout.js';
import { fourcc } from '../v4l2/names.js';
import type { Colour } from './colour.js';

/** Bytes of a line with padding, and bytes of the plane. */
export interface ImagePlane {
  readonly bytesperline: number;
  readonly sizeimage: number;
}

export interface ImageFormat extends Colour {
  /** The four characters. Big-endian formats have the suffix -BE. */
  readonly fourcc: string;
  readonly width: number;
  readonly height: number;
  /** Memory planes. A single-planar buffer type always has one. */
  readonly planes: readonly ImagePlane[];
}

/** `bytes`: a struct v4l2_format. */
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
