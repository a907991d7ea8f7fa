/** Compressed streams: finds where the frames of a file begin and end. */

/** A frame in a file: offset and length in bytes. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

/** A file, or a substitute in a test. */
export interface Bytes {
  readonly size: number;
  /** Returns fewer bytes than `length` only at the end of the file. */
  read(offset: number, length: number): Buffer;
}

/** The file does not have the expected contents. `message` continues a sentence that begins with the file's name. */
export class BitstreamError extends Error {}

export interface Bitstream {
  readonly name: string;
  /** The frames of the file, in order. Throws BitstreamError. */
  spans(file: Bytes): Generator<Span, void, undefined>;
  /** Size of the frames in pixels. Present if the first bytes of the stream contain it. */
  size?(file: Bytes): { width: number; height: number };
}

/** struct fwht_cframe_hdr of Linux's vicodec: it begins with two magic words, and its fields are big-endian. */
const FWHT_HEADER = 44;
const FWHT_MAGIC = Buffer.from('4f4f4f4fffffffff', 'hex');
const FWHT_WIDTH = 12;
const FWHT_HEIGHT = 16;
const FWHT_SIZE = 40;

function* fwhtSpans(file: Bytes): Generator<Span, void, undefined> {
  for (let offset = 0; offset < file.size; ) {
    const header = file.read(offset, FWHT_HEADER);
    if (!header.subarray(0, FWHT_MAGIC.length).equals(FWHT_MAGIC))
      throw new BitstreamError(`is no FWHT stream: there is no frame header at byte ${offset}`);
    const length = header.length < FWHT_HEADER ? Infinity : FWHT_HEADER + header.readUInt32BE(FWHT_SIZE);
    if (offset + length > file.size)
      throw new BitstreamError(
        `is not a whole number of FWHT frames: the one at byte ${offset} is cut short`,
      );
    yield { offset, length };
    offset += length;
  }
}

function fwhtSize(file: Bytes): { width: number; height: number } {
  const header = file.read(0, FWHT_HEADER);
  return { width: header.readUInt32BE(FWHT_WIDTH), height: header.readUInt32BE(FWHT_HEIGHT) };
}

/**
 * NAL unit types, ITU-T H.264, table 7-1. SLICES: slices of a picture. OPENERS: if one of these follows a picture, it
 * begins the next access unit (7.4.1.2.3).
 */
const SLICES: ReadonlySet<number> = new Set([1, 2, 5]);
const OPENERS: ReadonlySet<number> = new Set([6, 7, 8, 9, 14, 15, 16, 17, 18]);
const NAL_TYPE = 0x1f;
/** First bit of a slice. It is 1 if first_mb_in_slice, coded as ue(v), is 0: the first slice of a picture. */
const FIRST_SLICE = 0x80;

/** Access units. Parameter sets and other NAL units without a slice belong to the picture after them. */
function* h264Spans(file: Bytes): Generator<Span, void, undefined> {
  let start = 0;
  let hasPicture = false;
  for (const { offset, type, payload } of nalUnits(file)) {
    const opens = OPENERS.has(type) || (SLICES.has(type) && (payload & FIRST_SLICE) !== 0);
    if (hasPicture && opens) {
      yield { offset: start, length: offset - start };
      start = offset;
      hasPicture = false;
    }
    hasPicture ||= SLICES.has(type);
  }
  if (!hasPicture) throw new BitstreamError('is no H.264 stream: it has no picture behind a start code');
  yield { offset: start, length: file.size - start };
}

interface NalUnit {
  /** Offset of the start code in the file. A zero byte before the start code belongs to it. */
  readonly offset: number;
  readonly type: number;
  /** The first byte after the header. */
  readonly payload: number;
}

const START_CODE = Buffer.from([0, 0, 1]);
const CHUNK = 1 << 20;
/** Bytes that are read beyond a chunk: a start code, the header and a byte of payload may cross into the next chunk. */
const OVERLAP = START_CODE.length + 1;

/** The NAL units of a byte stream (H.264, Annex B). */
function* nalUnits(file: Bytes): Generator<NalUnit, void, undefined> {
  for (let base = 0; base < file.size; base += CHUNK) {
    const bytes = file.read(base, CHUNK + OVERLAP);
    for (let at = bytes.indexOf(START_CODE); at >= 0 && at < CHUNK; at = bytes.indexOf(START_CODE, at + 3)) {
      if (at + OVERLAP >= bytes.length) continue;
      const zero = base + at > 0 && precedingByte(file, bytes, base, at) === 0;
      const [header, payload] = [bytes[at + 3]!, bytes[at + 4]!];
      yield { offset: base + at - (zero ? 1 : 0), type: header & NAL_TYPE, payload };
    }
  }
}

function precedingByte(file: Bytes, bytes: Buffer, base: number, at: number): number {
  return at > 0 ? bytes[at - 1]! : file.read(base - 1, 1)[0]!;
}

/** By the FOURCC of the OUTPUT queue. */
export const bitstreams: ReadonlyMap<string, Bitstream> = new Map<string, Bitstream>([
  ['FWHT', { name: 'FWHT', spans: fwhtSpans, size: fwhtSize }],
  ['H264', { name: 'H.264 annex B', spans: h264Spans }],
]);
