/** Plane sizes of a v4l2_format, computed as Linux does it (vb2_create_bufs). The guest chooses them. */
import {
  BufferType,
  format,
  pixFormat,
  pixFormatMplane,
  planePixFormat,
  VIDEO_MAX_PLANES,
} from '../../v4l2/layout.js';

/** Byte offsets in `fmt`, for struct v4l2_vbi_format, v4l2_sliced_vbi_format, v4l2_sdr_format and v4l2_meta_format. */
const VBI_SAMPLES_PER_LINE = 8;
const VBI_COUNT = 24;
const SLICED_VBI_IO_SIZE = 100;
const BUFFERSIZE = 4;

/** `fmt`: the union of struct v4l2_format. Returns the bytes of each plane. */
type Size = (fmt: Buffer) => number[];

const video: Size = (fmt) => [pixFormat.read(fmt).sizeimage];
const vbi: Size = (fmt) => [
  fmt.readUInt32LE(VBI_SAMPLES_PER_LINE) * (fmt.readUInt32LE(VBI_COUNT) + fmt.readUInt32LE(VBI_COUNT + 4)),
];
const slicedVbi: Size = (fmt) => [fmt.readUInt32LE(SLICED_VBI_IO_SIZE)];
const stream: Size = (fmt) => [fmt.readUInt32LE(BUFFERSIZE)];
const planes: Size = (fmt) => {
  const { numPlanes, planeFmt } = pixFormatMplane.read(fmt);
  return Array.from(
    { length: Math.min(numPlanes, VIDEO_MAX_PLANES) },
    (_, number) => planePixFormat.read(planeFmt, number * planePixFormat.size).sizeimage,
  );
};

/** By V4L2_BUF_TYPE_*. */
const sizes: Readonly<Record<number, Size>> = {
  [BufferType.VIDEO_CAPTURE]: video,
  [BufferType.VIDEO_OUTPUT]: video,
  [BufferType.VBI_CAPTURE]: vbi,
  [BufferType.VBI_OUTPUT]: vbi,
  [BufferType.SLICED_VBI_CAPTURE]: slicedVbi,
  [BufferType.SLICED_VBI_OUTPUT]: slicedVbi,
  [BufferType.VIDEO_CAPTURE_MPLANE]: planes,
  [BufferType.VIDEO_OUTPUT_MPLANE]: planes,
  [BufferType.SDR_CAPTURE]: stream,
  [BufferType.SDR_OUTPUT]: stream,
  [BufferType.META_CAPTURE]: stream,
  [BufferType.META_OUTPUT]: stream,
};

/** Bytes of each plane of one buffer. `wanted`: struct v4l2_format. Empty: the buffer type has no size. */
export function planeBytes(wanted: Uint8Array): number[] {
  const { type, fmt } = format.read(wanted);
  return sizes[type]?.(Buffer.from(fmt)) ?? [];
}

/** Bytes of one buffer, all planes together. `wanted`: struct v4l2_format. 0: the buffer type has no size. */
export function bufferBytes(wanted: Uint8Array): number {
  return planeBytes(wanted).reduce((sum, bytes) => sum + bytes, 0);
}
