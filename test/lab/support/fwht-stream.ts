/** FWHT as vicodec writes it, read with Buffer methods. This file shares no code with the client. */
import assert from 'node:assert/strict';

const HEADER = 44;

/** The frames of a stream, with their headers. */
export function fwhtFrames(stream: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < stream.length; ) {
    assert.equal(stream.toString('hex', at, at + 8), '4f4f4f4fffffffff');
    const end = at + HEADER + stream.readUInt32BE(at + 40);
    frames.push(stream.subarray(at, end));
    at = end;
  }
  return frames;
}

export function fwhtSize(frame: Buffer): { width: number; height: number } {
  return { width: frame.readUInt32BE(12), height: frame.readUInt32BE(16) };
}

/** The frames in the form that Codec.run takes. */
export function* planesOf(frames: readonly Buffer[]): Generator<Buffer[], void, undefined> {
  for (const frame of frames) yield [frame];
}
