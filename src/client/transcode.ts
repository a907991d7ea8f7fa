/** One run of a mem-to-mem device over a file. The result counts the frames. */
import { Codec, type CodecOptions } from './codec.js';
import type { CodecRole } from './codec-formats.js';
import type { FrameSummary } from './frame-count.js';
import type { Cut, FrameFile } from './frame-file.js';
import type { GuestDriver } from './guest-driver.js';
import type { ImageFormat } from './image-format.js';
import type { OutputFile } from './output-file.js';

export interface TranscodeOptions extends Pick<CodecOptions, 'memory' | 'timeout'> {
  readonly input: FrameFile;
  readonly output: OutputFile;
  /** FOURCC of the input; undefined: the device's current one. */
  readonly format: string | undefined;
  /** Size of the input in pixels; undefined: from the stream if it contains it, else the device's current one. */
  readonly size: { readonly width: number; readonly height: number } | undefined;
  readonly progress: TranscodeProgress;
}

export interface TranscodeProgress {
  /** The device is set up. `frames`: how many frames the input has. */
  start(format: ImageFormat, frames: number): void;
  /** A frame has come out. */
  show(summary: Pick<FrameSummary, 'frames' | 'arrivalFps'>): void;
}

export interface NamedFormat {
  readonly format: string;
  readonly width: number;
  readonly height: number;
}

export interface Transcode {
  readonly role: CodecRole;
  readonly from: NamedFormat;
  /** The first format that came out of the device. */
  readonly to: NamedFormat;
  readonly buffers: { readonly output: number; readonly capture: number };
  readonly framesIn: number;
  readonly framesOut: number;
  /** Frames that came out with V4L2_BUF_FLAG_ERROR; `refused`: input frames that the device could not process. */
  readonly damaged: number;
  readonly refused: number;
  readonly seconds: number;
  /** Changes of the output format. `frame`: how many frames had come out before the change. */
  readonly changes: readonly (NamedFormat & { readonly frame: number })[];
}

/**
 * Processes the whole input file and writes the frames that come out. Throws BitstreamError, CodecError, DriverError,
 * FormatRefused, or a system error of a file.
 */
export async function transcode(
  driver: GuestDriver,
  deviceCaps: number,
  { input, output, format, size, memory, timeout, progress }: TranscodeOptions,
): Promise<Transcode> {
  let cut: Cut | undefined;
  const stream = (fourcc: string) => {
    cut = input.cutStream(fourcc);
    return { sizeimage: cut.largest, ...cut.size };
  };
  const wanted = { ...(format === undefined ? {} : { fourcc: format }), ...size };
  const codec = await Codec.open(driver, deviceCaps, { output: wanted, stream, memory, timeout });
  const from = codec.formats.output;
  const { spans, largest } = cut ?? input.cutRaw(from);
  const sizes = cut ? [largest] : from.planes.map(({ sizeimage }) => sizeimage);
  progress.start(from, spans.length);
  const begun = performance.now();
  await codec.start();
  let damaged = 0;
  for await (const frame of codec.run(input.frames(spans, sizes))) {
    if (frame.damaged) damaged++;
    for (const plane of frame.planes) output.write(plane);
    const { framesOut } = codec;
    progress.show({ frames: framesOut, arrivalFps: (framesOut * 1000) / (performance.now() - begun) });
  }
  const seconds = (performance.now() - begun) / 1000;
  const { role, buffers, framesIn, framesOut, refused, formats, resolutions } = codec;
  await codec.release();
  return {
    role,
    from: named(from),
    to: named(resolutions[0]?.format ?? formats.capture),
    buffers,
    framesIn,
    framesOut,
    damaged,
    refused,
    seconds,
    changes: resolutions.slice(1).map(({ format, at }) => ({ ...named(format), frame: at })),
  };
}

function named({ fourcc, width, height }: ImageFormat): NamedFormat {
  return { format: fourcc, width, height };
}
