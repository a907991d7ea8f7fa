/** `probe --transcode`: a mem-to-mem device transcodes the frames of one file into another file. */
import { realpathSync } from 'node:fs';
import { BitstreamError } from '../client/bitstreams.js';
import { FrameFile } from '../client/frame-file.js';
import type { GuestDriver } from '../client/guest-driver.js';
import { OutputFile } from '../client/output-file.js';
import { ProgressLine } from '../client/progress-line.js';
import { type Transcode, type TranscodeOptions, transcode } from '../client/transcode.js';
import { Capability } from '../v4l2/layout.js';
import { OperatorError } from './exit.js';

/** The open files of a transcode. */
export interface Files {
  readonly input: FrameFile;
  readonly output: OutputFile;
}

/** The result of a transcode, with the paths of its files and the bytes that were written. */
export interface FileTranscode extends Transcode {
  readonly input: string;
  readonly output: string;
  readonly outputBytes: number;
}

/** Opens both files, or none. Throws ERR_USAGE, ERR_INPUT, ERR_OUTPUT. */
export function openFiles(input: string, output: string): Files {
  const file = openInput(input);
  try {
    if (realPath(output) === realPath(input))
      throw new OperatorError('ERR_USAGE', `--transcode and --output are the same file, ${input}`);
    return { input: file, output: openOutput(output) };
  } catch (error) {
    file.close();
    throw error;
  }
}

export function closeFiles({ input, output }: Files): void {
  input.close();
  output.close();
}

/**
 * Transcodes the input file into the output file. Throws ERR_NODE_NOT_M2M, ERR_INPUT and the errors of the client;
 * their message says how many bytes the output file has, if any.
 */
export async function transcodeFile(
  driver: GuestDriver,
  deviceCaps: number,
  { input, output }: Files,
  options: Pick<TranscodeOptions, 'format' | 'size' | 'memory' | 'timeout'>,
): Promise<FileTranscode> {
  if ((deviceCaps & (Capability.VIDEO_M2M | Capability.VIDEO_M2M_MPLANE)) === 0)
    throw new OperatorError(
      'ERR_NODE_NOT_M2M',
      'the device is not a mem-to-mem device (codec, converter): leave --transcode out',
    );
  const progress = new FileProgress();
  try {
    const done = await transcode(driver, deviceCaps, { ...options, input, output, progress });
    return { ...done, input: input.path, output: output.path, outputBytes: output.bytes };
  } catch (error) {
    if (output.bytes > 0 && error instanceof Error)
      error.message += ` (${output.path} is not complete: it has the first ${output.bytes} bytes)`;
    throw error instanceof BitstreamError ? inputError(input.path, error) : error;
  } finally {
    progress.end();
  }
}

class FileProgress {
  #line: ProgressLine | undefined;

  start(format: Parameters<ProgressLine['start']>[0], frames: number): void {
    this.#line = new ProgressLine(process.stderr, `transcoding ${frames} frames`);
    this.#line.start(format);
  }

  show(summary: Parameters<ProgressLine['show']>[0]): void {
    this.#line?.show(summary);
  }

  end(): void {
    this.#line?.end();
  }
}

function openInput(path: string): FrameFile {
  try {
    return new FrameFile(path);
  } catch (error) {
    if (error instanceof BitstreamError) throw inputError(path, error);
    throw new OperatorError('ERR_INPUT', `${path} cannot be read: ${(error as Error).message}`);
  }
}

function inputError(path: string, { message }: BitstreamError): OperatorError {
  return new OperatorError('ERR_INPUT', `${path} ${message}: look at it, and at --format and --size`);
}

function openOutput(path: string): OutputFile {
  try {
    return new OutputFile(path);
  } catch (error) {
    throw new OperatorError('ERR_OUTPUT', `${path} cannot be written: ${(error as Error).message}`);
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    // The file does not exist yet.
    return undefined;
  }
}
