/** vicodec through the bridge, used by the client's own Codec. */
import { Codec, type CodecOptions } from '../../../src/client/codec.js';
import { fwhtSize, planesOf } from './fwht-stream.js';
import type { Stage, StageOptions } from './stage.js';
import type { PictureSize } from './v4l2-ctl-codec.js';

/** Milliseconds. Software codecs are slow on an emulated machine. */
export const PATIENT: Pick<CodecOptions, 'timeout'> = { timeout: 20_000 };

/** The ways in which MMAP buffers reach the guest. */
export const backings: Readonly<Record<'arena' | 'direct', Partial<StageOptions>>> = {
  arena: { frontEnd: { vmm: 'qemu' }, serve: { mmap: 'arena', sharedMemorySize: 64 << 20 } },
  direct: { frontEnd: { vmm: 'crosvm' }, serve: { mmap: 'direct', sharedMemorySize: 64 << 20 } },
};

export function openEncoder({ driver }: Stage, caps: number, size: PictureSize): Promise<Codec> {
  return Codec.open(driver, caps, {
    output: { fourcc: 'YU12', ...size },
    capture: { fourcc: 'FWHT' },
    ...PATIENT,
  });
}

export function openDecoder({ driver }: Pick<Stage, 'driver'>, caps: number, frames: readonly Buffer[]) {
  const sizeimage = Math.max(...frames.map(({ length }) => length));
  const output = { fourcc: 'FWHT', ...fwhtSize(frames[0]!), sizeimage };
  return Codec.open(driver, caps, { output, ...PATIENT });
}

/** Collects copies of everything that comes out, until the codec is drained. */
export async function collect(codec: Codec, frames: readonly Buffer[]): Promise<Buffer[]> {
  const got: Buffer[] = [];
  for await (const { planes } of codec.run(planesOf(frames))) got.push(Buffer.concat(planes));
  return got;
}

export async function deviceCaps({ frontEnd }: Stage): Promise<number> {
  return (await frontEnd.readConfig()).deviceCaps;
}
