/** What the two queues of a mem-to-mem device are set to, and what the device is by that. */
import { BufferType, Capability } from '../v4l2/layout.js';
import type { ImageFormat } from './image-format.js';
import type { FormatRequest, VideoQueue } from './video-queue.js';

/** By which side is compressed; a converter compresses neither, or both. */
export type CodecRole = 'decoder' | 'encoder' | 'converter';

export interface CodecFormats {
  readonly output: ImageFormat;
  readonly capture: ImageFormat;
}

/** What is not given stays as the device has it. */
export interface CodecFormatRequest {
  readonly output?: Partial<FormatRequest>;
  /** What more is wanted where the OUTPUT side is compressed: what the stream says of itself. */
  readonly stream?: (fourcc: string) => Partial<FormatRequest>;
  /** The frames that come out. */
  readonly capture?: { readonly fourcc?: string };
}

/** The device takes another format: `message` is a sentence. */
export class FormatRefused extends Error {}

/** The buffer types of its two queues; undefined: the device is not a mem-to-mem device. */
export function queueTypes(deviceCaps: number): { output: number; capture: number } | undefined {
  if (deviceCaps & Capability.VIDEO_M2M_MPLANE)
    return { output: BufferType.VIDEO_OUTPUT_MPLANE, capture: BufferType.VIDEO_CAPTURE_MPLANE };
  if (deviceCaps & Capability.VIDEO_M2M)
    return { output: BufferType.VIDEO_OUTPUT, capture: BufferType.VIDEO_CAPTURE };
  return undefined;
}

/** Sets both formats in the order that the role wants, and says the role. Throws FormatRefused. */
export async function negotiate(
  output: VideoQueue,
  capture: VideoQueue,
  wish: CodecFormatRequest,
): Promise<CodecRole> {
  const [outputNow, captureNow] = [await output.readFormat(), await capture.readFormat()];
  const outputFourcc = wish.output?.fourcc ?? outputNow.fourcc;
  const captureFourcc = wish.capture?.fourcc ?? captureNow.fourcc;
  const size = { width: outputNow.width, height: outputNow.height };
  const fromCompressed = await isCompressed(output, outputFourcc);
  const stream = fromCompressed ? wish.stream?.(outputFourcc) : undefined;
  const wanted = { ...size, ...stream, ...wish.output, fourcc: outputFourcc };
  const role = roleOf(fromCompressed, await isCompressed(capture, captureFourcc));
  // The coded side comes first: it decides what the raw one can be.
  if (role === 'encoder') await set(capture, { ...wanted, fourcc: captureFourcc, sizeimage: 0 });
  await set(output, wanted);
  const { width, height } = output.format;
  if (role === 'converter') await set(capture, { width, height, fourcc: captureFourcc });
  else await capture.readFormat();
  return role;
}

/** Whether the queue's frames are compressed, as it is set now. */
async function isCompressed(queue: VideoQueue, fourcc: string): Promise<boolean> {
  for await (const format of queue.formats()) if (format.fourcc === fourcc) return format.compressed;
  return false;
}

function roleOf(fromCompressed: boolean, toCompressed: boolean): CodecRole {
  if (fromCompressed === toCompressed) return 'converter';
  return fromCompressed ? 'decoder' : 'encoder';
}

async function set(queue: VideoQueue, wish: FormatRequest): Promise<void> {
  const { fourcc, width, height } = await queue.setFormat(wish);
  if (fourcc !== wish.fourcc) {
    const offered = (await queue.fourccs()).join(', ');
    throw new FormatRefused(`the device does not take ${wish.fourcc}; it offers ${offered}`);
  }
  if (wish.width > 0 && (width < wish.width || height < wish.height))
    throw new FormatRefused(
      `the device does not take frames of ${wish.width}x${wish.height}: it has set ${width}x${height}`,
    );
}
