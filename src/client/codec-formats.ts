/** The formats of the two queues of a mem-to-mem device, and the role that follows from them. */
import { BufferType, Capability } from '../v4l2/layout.js';
import type { ImageFormat } from './image-format.js';
import type { FormatRequest, VideoQueue } from './video-queue.js';

/** A decoder's OUTPUT side is compressed, an encoder's CAPTURE side. For a converter it is neither side or both. */
export type CodecRole = 'decoder' | 'encoder' | 'converter';

export interface CodecFormats {
  readonly output: ImageFormat;
  readonly capture: ImageFormat;
}

/** Formats to set. A field that is not given keeps the value that the device has. */
export interface CodecFormatRequest {
  readonly output?: Partial<FormatRequest>;
  /** More fields for a compressed OUTPUT format, from the stream itself. `output` takes precedence. */
  readonly stream?: (fourcc: string) => Partial<FormatRequest>;
  /** Format of the frames that come out. */
  readonly capture?: { readonly fourcc?: string };
}

/** The device has set another format than the requested one; `message` is a sentence. */
export class FormatRefused extends Error {}

/** The buffer types of the two queues; undefined: the device is not a mem-to-mem device. */
export function queueTypes(deviceCaps: number): { output: number; capture: number } | undefined {
  if (deviceCaps & Capability.VIDEO_M2M_MPLANE)
    return { output: BufferType.VIDEO_OUTPUT_MPLANE, capture: BufferType.VIDEO_CAPTURE_MPLANE };
  if (deviceCaps & Capability.VIDEO_M2M)
    return { output: BufferType.VIDEO_OUTPUT, capture: BufferType.VIDEO_CAPTURE };
  return undefined;
}

/** Sets both formats, in the order that the role needs. Returns the role. Throws FormatRefused. */
export async function negotiate(
  output: VideoQueue,
  capture: VideoQueue,
  request: CodecFormatRequest,
): Promise<CodecRole> {
  const [outputNow, captureNow] = [await output.readFormat(), await capture.readFormat()];
  const outputFourcc = request.output?.fourcc ?? outputNow.fourcc;
  const captureFourcc = request.capture?.fourcc ?? captureNow.fourcc;
  const size = { width: outputNow.width, height: outputNow.height };
  const fromCompressed = await isCompressed(output, outputFourcc);
  const stream = fromCompressed ? request.stream?.(outputFourcc) : undefined;
  const wanted = { ...size, ...stream, ...request.output, fourcc: outputFourcc };
  const role = roleOf(fromCompressed, await isCompressed(capture, captureFourcc));
  // Set the coded side first: the formats of the raw side depend on it.
  if (role === 'encoder') await set(capture, { ...wanted, fourcc: captureFourcc, sizeimage: 0 });
  await set(output, wanted);
  const { width, height } = output.format;
  if (role === 'converter') await set(capture, { width, height, fourcc: captureFourcc });
  else await capture.readFormat();
  return role;
}

/** Whether `fourcc` is a compressed format of the queue. False if the queue does not offer it. */
async function isCompressed(queue: VideoQueue, fourcc: string): Promise<boolean> {
  for await (const format of queue.formats()) if (format.fourcc === fourcc) return format.compressed;
  return false;
}

function roleOf(fromCompressed: boolean, toCompressed: boolean): CodecRole {
  if (fromCompressed === toCompressed) return 'converter';
  return fromCompressed ? 'decoder' : 'encoder';
}

async function set(queue: VideoQueue, request: FormatRequest): Promise<void> {
  const { fourcc, width, height } = await queue.setFormat(request);
  if (fourcc !== request.fourcc) {
    const offered = (await queue.fourccs()).join(', ');
    throw new FormatRefused(`the device does not take ${request.fourcc}; it offers ${offered}`);
  }
  if (request.width > 0 && (width < request.width || height < request.height))
    throw new FormatRefused(
      `the device does not take frames of ${request.width}x${request.height}: it has set ${width}x${height}`,
    );
}
