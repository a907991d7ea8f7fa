/** Checks the options of `probe`. */
import { type DamagedFrames, recordingSuffixes } from '../client/recording.js';
import { fourccCode } from '../v4l2/names.js';
import { OperatorError } from './exit.js';

export const DEFAULT_FRAMES = 30;
export const DEFAULT_TIMEOUT_S = 5;
const MAX_TIMEOUT_S = 3600;

/** The options as the operator wrote them. */
export interface ProbeArguments {
  readonly socket: string;
  readonly frames: string;
  readonly transcode: string | undefined;
  readonly output: string | undefined;
  readonly damaged: DamagedFrames | undefined;
  readonly format: string | undefined;
  readonly size: string | undefined;
  readonly json: boolean | undefined;
  readonly timeout: string;
}

/** The options after the check. */
export interface ProbeOptions {
  readonly socket: string;
  readonly frames: number;
  /** The file whose frames a mem-to-mem device transcodes. If it is given, `output` is too. */
  readonly transcode: string | undefined;
  readonly output: string | undefined;
  readonly damaged: DamagedFrames;
  readonly format: string | undefined;
  readonly size: { width: number; height: number } | undefined;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Reads and checks the options. Throws ERR_USAGE. */
export function probeOptionsOf(given: ProbeArguments): ProbeOptions {
  const { socket, frames, transcode, output, damaged, format, size, timeout } = given;
  const [, width, height] = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/i.exec(size ?? '') ?? [];
  if (size !== undefined && !height)
    throw usage(`--size must be a width and a height, for example 1280x720, not ${size}`);
  if (!/^\d{1,9}$/.test(frames))
    throw usage(`--frames must be a whole number, for example ${DEFAULT_FRAMES}, not ${frames}`);
  const seconds = Number(timeout);
  if (!(seconds > 0 && seconds <= MAX_TIMEOUT_S))
    throw usage(
      `--timeout must be a number of seconds up to ${MAX_TIMEOUT_S}, for example ${DEFAULT_TIMEOUT_S}, not ${timeout}`,
    );
  if (transcode === undefined) checkRecording(output, Number(frames));
  else if (output === undefined) throw usage('--transcode needs --output, the file for what comes out');
  else if (damaged !== undefined) throw usage('--damaged is for the frames of a camera, not for --transcode');
  if (format !== undefined) checkFormat(format);
  return {
    socket,
    frames: Number(frames),
    transcode,
    output,
    damaged: damaged ?? 'skip',
    format,
    size: height ? { width: Number(width), height: Number(height) } : undefined,
    timeout: seconds * 1000,
  };
}

function checkRecording(output: string | undefined, frames: number): void {
  if (output === undefined) return;
  if (!recordingSuffixes.some((suffix) => output.toLowerCase().endsWith(suffix)))
    throw usage(`--output must end in one of ${recordingSuffixes.join(', ')}, not ${output}`);
  if (frames === 0) throw usage('--output needs --frames of at least 1');
}

function checkFormat(format: string): void {
  try {
    fourccCode(format);
  } catch (error) {
    throw usage(`--format: ${(error as Error).message}`);
  }
}

const usage = (sentence: string) => new OperatorError('ERR_USAGE', sentence);
