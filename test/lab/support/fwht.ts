/**
 * FWHT, vicodec's own compression: the frames of a stream, and the parameters that a stateless decoder needs for each.
 */
import assert from 'node:assert/strict';

/**
 * Bytes of a frame's header: two magic words, then nine more words, all big-endian. The last word is the number of
 * bytes that follow.
 */
const HEADER = 44;
const MAGIC = Buffer.from([0x4f, 0x4f, 0x4f, 0x4f, 0xff, 0xff, 0xff, 0xff]);
const I_FRAME = 1 << 10;

/** V4L2_CID_STATELESS_FWHT_PARAMS. */
export const FWHT_PARAMS = 0x00a40900 + 100;
/** sizeof(struct v4l2_ctrl_fwht_params). */
export const FWHT_PARAMS_SIZE = 40;

export interface FwhtFrame {
  readonly version: number;
  readonly width: number;
  readonly height: number;
  readonly flags: number;
  readonly colorspace: number;
  readonly transferFunction: number;
  readonly encoding: number;
  readonly quantization: number;
  /** Whether the frame needs no other frame. */
  readonly isIntra: boolean;
  /** Header and data, as the stateful decoder takes them. */
  readonly bytes: Buffer;
  /** Only the data, as the stateless decoder takes them. */
  readonly data: Buffer;
}

/** Cuts a stream into its frames. Fails the test if a frame is not whole. */
export function fwhtFrames(stream: Buffer): FwhtFrame[] {
  const frames: FwhtFrame[] = [];
  for (let at = 0; at < stream.length; at += frames.at(-1)!.bytes.length) frames.push(frameAt(stream, at));
  return frames;
}

function frameAt(stream: Buffer, start: number): FwhtFrame {
  assert.ok(stream.length >= start + HEADER, 'a header is cut off');
  assert.deepEqual(stream.subarray(start, start + 8), MAGIC, `no frame starts at ${start}`);
  const word = (index: number) => stream.readUInt32BE(start + 4 * index);
  const end = start + HEADER + word(10);
  assert.ok(stream.length >= end, 'a frame is cut off');
  return {
    version: word(2),
    width: word(3),
    height: word(4),
    flags: word(5),
    colorspace: word(6),
    transferFunction: word(7),
    encoding: word(8),
    quantization: word(9),
    isIntra: (word(5) & I_FRAME) !== 0,
    bytes: stream.subarray(start, end),
    data: stream.subarray(start + HEADER, end),
  };
}

/** struct v4l2_ctrl_fwht_params. `reference`: the timestamp of the previous CAPTURE buffer in nanoseconds. */
export function fwhtParams(frame: Omit<FwhtFrame, 'bytes' | 'data' | 'isIntra'>, reference: bigint): Buffer {
  const params = Buffer.alloc(FWHT_PARAMS_SIZE);
  const words = [frame.version, frame.width, frame.height, frame.flags, frame.colorspace];
  words.push(frame.transferFunction, frame.encoding, frame.quantization);
  params.writeBigUInt64LE(reference, 0);
  for (const [index, value] of words.entries()) params.writeUInt32LE(value, 8 + 4 * index);
  return params;
}
