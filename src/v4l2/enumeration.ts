/** What a node can do, from queries to the node: capabilities, queues, formats, sizes, intervals, memory types. */

import { Errno } from '../errno.js';
import { FormatFlag, fract, frmsizeDiscrete, frmsizeStepwise, Steps } from './enumeration-layout.js';
import { Ioctl } from './ioctls.js';
import {
  BufferCapability,
  BufferType,
  Capability,
  exportBuffer,
  fmtdesc,
  frmivalenum,
  frmsizeenum,
  Memory,
  requestBuffers,
} from './layout.js';
import { bufferTypeWord, fourcc } from './names.js';

/** Limits of each enumeration. Without them a driver that never answers EINVAL would keep the bridge busy for ever. */
const MAX_FORMATS = 256;
const MAX_SIZES = 128;
const MAX_INTERVALS = 64;

/** Runs a pointer-free ioctl on an open file. The result is written into `payload`. Resolves to an errno; 0: done. */
export type RunIoctl = (nr: number, payload: Uint8Array) => Promise<number>;

export interface Fraction {
  readonly numerator: number;
  readonly denominator: number;
}

/** Frame interval in seconds: a single one that the driver names, or a range. */
export type Interval =
  | Fraction
  | { readonly minimum: Fraction; readonly maximum: Fraction; readonly step: Fraction };

/**
 * One size in pixels, or all sizes of a range in steps. For a range, `width`, `height` and `intervals` are those of
 * the largest size.
 */
export interface FrameSize {
  readonly width: number;
  readonly height: number;
  readonly range?: {
    readonly minWidth: number;
    readonly minHeight: number;
    readonly stepWidth: number;
    readonly stepHeight: number;
  };
  readonly intervals: readonly Interval[];
}

/** One format that ENUM_FMT returned. `sizes` is empty if sizes were not queried. */
export interface Format {
  readonly fourcc: string;
  readonly description: string;
  readonly compressed: boolean;
  /** libv4l2 produces the format, not the device. */
  readonly emulated: boolean;
  readonly sizes: readonly FrameSize[];
}

/** One queue of a node: its formats, and how its buffers get memory. */
export interface QueueDescription {
  /** V4L2_BUF_TYPE_*, as a number and as a word. */
  readonly type: number;
  readonly name: string;
  readonly formats: readonly Format[];
  /** `MMAP`, `USERPTR`, `DMABUF`. null: another program owns the queue, and the driver does not tell. */
  readonly memory: readonly string[] | null;
  /** Whether the driver exports MMAP buffers as DMABUFs (EXPBUF). null: it has no MMAP buffers, or does not tell. */
  readonly exportable: boolean | null;
}

/** Capability bit -> the buffer types that it stands for. */
const queueRows: readonly (readonly [capability: number, types: readonly number[]])[] = [
  [Capability.VIDEO_CAPTURE, [BufferType.VIDEO_CAPTURE]],
  [Capability.VIDEO_OUTPUT, [BufferType.VIDEO_OUTPUT]],
  [Capability.VIDEO_CAPTURE_MPLANE, [BufferType.VIDEO_CAPTURE_MPLANE]],
  [Capability.VIDEO_OUTPUT_MPLANE, [BufferType.VIDEO_OUTPUT_MPLANE]],
  [Capability.VIDEO_M2M, [BufferType.VIDEO_OUTPUT, BufferType.VIDEO_CAPTURE]],
  [Capability.VIDEO_M2M_MPLANE, [BufferType.VIDEO_OUTPUT_MPLANE, BufferType.VIDEO_CAPTURE_MPLANE]],
  [Capability.VBI_CAPTURE, [BufferType.VBI_CAPTURE]],
  [Capability.VBI_OUTPUT, [BufferType.VBI_OUTPUT]],
  [Capability.SLICED_VBI_CAPTURE, [BufferType.SLICED_VBI_CAPTURE]],
  [Capability.SLICED_VBI_OUTPUT, [BufferType.SLICED_VBI_OUTPUT]],
  [Capability.SDR_CAPTURE, [BufferType.SDR_CAPTURE]],
  [Capability.SDR_OUTPUT, [BufferType.SDR_OUTPUT]],
  [Capability.META_CAPTURE, [BufferType.META_CAPTURE]],
  [Capability.META_OUTPUT, [BufferType.META_OUTPUT]],
];

/** The buffer types (V4L2_BUF_TYPE_*) of a node, each once. */
export function bufferTypesOf(deviceCaps: number): number[] {
  const types = queueRows.filter(([bit]) => (deviceCaps & bit) !== 0).flatMap(([, found]) => found);
  return [...new Set(types)];
}

/** All queues of the node. `sizes`: whether to query the sizes and intervals of every format too. */
export async function queuesOf(
  ask: RunIoctl,
  deviceCaps: number,
  sizes: boolean,
): Promise<QueueDescription[]> {
  const queues: QueueDescription[] = [];
  for (const type of bufferTypesOf(deviceCaps)) {
    const formats = await formatsOf(ask, type, sizes);
    const streaming = (deviceCaps & Capability.STREAMING) !== 0;
    const memory = streaming ? await memoryOf(ask, type) : [];
    const exportable = memory?.includes('MMAP') ? await exportableOf(ask, type) : null;
    queues.push({ type, name: bufferTypeWord(type), formats, memory, exportable });
  }
  return queues;
}

/** The formats of a queue, at most MAX_FORMATS. `type`: V4L2_BUF_TYPE_*. */
export async function formatsOf(ask: RunIoctl, type: number, sizes: boolean): Promise<Format[]> {
  const formats: Format[] = [];
  const payload = Buffer.alloc(fmtdesc.size);
  while (formats.length < MAX_FORMATS) {
    payload.fill(0);
    payload.writeUInt32LE(formats.length, fmtdesc.offset.index);
    payload.writeUInt32LE(type, fmtdesc.offset.type);
    if ((await ask(Ioctl.ENUM_FMT, payload)) !== 0) break;
    const { pixelformat, description, flags } = fmtdesc.read(payload);
    formats.push({
      fourcc: fourcc(pixelformat),
      description,
      compressed: (flags & FormatFlag.COMPRESSED) !== 0,
      emulated: (flags & FormatFlag.EMULATED) !== 0,
      sizes: sizes ? await sizesOf(ask, pixelformat) : [],
    });
  }
  return formats;
}

async function sizesOf(ask: RunIoctl, pixelFormat: number): Promise<FrameSize[]> {
  const sizes: FrameSize[] = [];
  const payload = Buffer.alloc(frmsizeenum.size);
  while (sizes.length < MAX_SIZES) {
    payload.fill(0);
    payload.writeUInt32LE(sizes.length, frmsizeenum.offset.index);
    payload.writeUInt32LE(pixelFormat, frmsizeenum.offset.pixelFormat);
    if ((await ask(Ioctl.ENUM_FRAMESIZES, payload)) !== 0) break;
    const { type, size } = frmsizeenum.read(payload);
    const discrete = type === Steps.DISCRETE;
    const found = discrete ? frmsizeDiscrete.read(size) : rangeOf(size);
    sizes.push({ ...found, intervals: await intervalsOf(ask, pixelFormat, found.width, found.height) });
    if (!discrete) break;
  }
  return sizes;
}

function rangeOf(size: Uint8Array): Omit<FrameSize, 'intervals'> {
  const { maxWidth, maxHeight, ...range } = frmsizeStepwise.read(size);
  return { width: maxWidth, height: maxHeight, range };
}

async function intervalsOf(
  ask: RunIoctl,
  pixelFormat: number,
  width: number,
  height: number,
): Promise<Interval[]> {
  const intervals: Interval[] = [];
  while (intervals.length < MAX_INTERVALS) {
    const payload = frmivalenum.encode({
      index: intervals.length,
      pixelFormat,
      width,
      height,
      type: 0,
      interval: new Uint8Array(0),
      reserved: new Uint8Array(0),
    });
    if ((await ask(Ioctl.ENUM_FRAMEINTERVALS, payload)) !== 0) break;
    const { type, interval } = frmivalenum.read(payload);
    const [minimum, maximum, step] = [0, 8, 16].map((at) => fract.read(interval, at)) as [
      Fraction,
      Fraction,
      Fraction,
    ];
    if (type !== Steps.DISCRETE) return [{ minimum, maximum, step }];
    intervals.push(minimum);
  }
  return intervals;
}

const memoryRows: readonly (readonly [name: string, memory: number, supports: number])[] = [
  ['MMAP', Memory.MMAP, BufferCapability.MMAP],
  ['USERPTR', Memory.USERPTR, BufferCapability.USERPTR],
  ['DMABUF', Memory.DMABUF, BufferCapability.DMABUF],
];

/**
 * The memory types of a queue, from REQBUFS with count 0. On a queue without buffers it changes nothing. If another
 * open file owns the queue, the driver answers EBUSY, and the result is null.
 */
async function memoryOf(ask: RunIoctl, type: number): Promise<string[] | null> {
  const accepted: string[] = [];
  for (const [name, memory] of memoryRows) {
    const payload = Buffer.alloc(requestBuffers.size);
    payload.writeUInt32LE(type, requestBuffers.offset.type);
    payload.writeUInt32LE(memory, requestBuffers.offset.memory);
    const errno = await ask(Ioctl.REQBUFS, payload);
    if (errno === Errno.EBUSY) return null;
    if (errno !== 0) continue;
    const { capabilities } = requestBuffers.read(payload);
    if (capabilities !== 0)
      return memoryRows.filter(([, , supports]) => (capabilities & supports) !== 0).map(([word]) => word);
    // Old kernels and drivers return no capabilities, so each type is tried.
    accepted.push(name);
  }
  return accepted;
}

/** EXPBUF on a queue without buffers: a driver without EXPBUF answers ENOTTY, a driver with it EINVAL. */
async function exportableOf(ask: RunIoctl, type: number): Promise<boolean> {
  const payload = Buffer.alloc(exportBuffer.size);
  payload.writeUInt32LE(type, exportBuffer.offset.type);
  return (await ask(Ioctl.EXPBUF, payload)) !== Errno.ENOTTY;
}
