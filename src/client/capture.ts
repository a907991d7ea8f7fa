/** One run of a camera: set the format, capture frames, release. The result counts the frames. */
import { Camera, type CameraOptions, captureType } from './camera.js';
import { FrameCount, type FrameSummary } from './frame-count.js';
import type { GuestDriver } from './guest-driver.js';
import type { ImageFormat } from './image-format.js';
import type { Damage, Loss, Recording } from './recording.js';

export interface CaptureOptions extends Pick<CameraOptions, 'memory' | 'timeout'> {
  readonly format: string | undefined;
  readonly size: CameraOptions['size'] | undefined;
  readonly frames: number;
  readonly recording: Recording | undefined;
  readonly progress: Progress;
}

export interface Progress {
  /** The stream has started. */
  start(format: ImageFormat): void;
  /** A frame has arrived. */
  show(summary: FrameSummary): void;
}

/** `damaged` also counts the frames that the recording found to be damaged. */
export interface Capture extends FrameSummary {
  readonly format: string;
  readonly width: number;
  readonly height: number;
  readonly buffers: number;
  /** What was wrong with the damaged frames of the recording. */
  readonly damage: readonly Damage[];
  /** The defect of the recorded picture. null: it is whole, or no picture was recorded. */
  readonly loss: Loss | null;
}

/** Whether the device is a camera: it delivers frames without input. */
export function isCamera(deviceCaps: number): boolean {
  try {
    return captureType(deviceCaps) > 0;
  } catch {
    return false;
  }
}

/**
 * Captures `options.frames` frames. It closes the recording, also after an error. Throws CameraError, DriverError,
 * PictureError.
 */
export async function capture(
  driver: GuestDriver,
  deviceCaps: number,
  options: CaptureOptions,
): Promise<Capture> {
  const { format, size, memory, timeout, recording } = options;
  try {
    const camera = await Camera.open(driver, deviceCaps, {
      ...(format === undefined ? {} : { format }),
      ...(size === undefined ? {} : { size }),
      prefer: recording?.prefer ?? [],
      memory,
      timeout,
    });
    await recording?.prepare();
    await camera.start();
    const { buffers } = camera;
    options.progress.start(camera.format);
    const summary = await readFrames(camera, options);
    await camera.release();
    await recording?.finish(camera.format);
    const { fourcc, width, height } = camera.format;
    const { damage = [], loss = null } = recording ?? {};
    const damaged = recording ? damage.reduce((sum, { frames }) => sum + frames, 0) : summary.damaged;
    return { ...summary, damaged, format: fourcc, width, height, buffers, damage, loss };
  } finally {
    recording?.close();
  }
}

async function readFrames(
  camera: Camera,
  { frames, recording, progress }: CaptureOptions,
): Promise<FrameSummary> {
  const count = new FrameCount();
  for await (const frame of camera.frames(frames)) {
    count.add(frame, performance.now() / 1000);
    await recording?.add(camera.format, frame);
    progress.show(count.summary);
  }
  return count.summary;
}
