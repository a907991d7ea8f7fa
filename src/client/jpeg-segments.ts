/** The segments of a JPEG frame (ITU-T T.81, Annex B). The frame may be damaged. */

/** Second byte of a marker, ITU-T T.81, Table B.1. */
export const Marker = {
  SOF0: 0xc0,
  DHT: 0xc4,
  RST0: 0xd0,
  RST7: 0xd7,
  SOI: 0xd8,
  EOI: 0xd9,
  SOS: 0xda,
  APP0: 0xe0,
  APP14: 0xee,
  APP15: 0xef,
  COM: 0xfe,
} as const;

const RESTARTS = 8;
/** Most segments of a frame, and most gaps of a scan, that are read. A whole frame has some twenty segments. */
const MAX_SEGMENTS = 1024;
const MAX_GAPS = 1024;

/** Restart intervals that are missing. A loss of eight, or of a multiple of eight, is not seen. */
export interface Gap {
  /** Offset of the restart marker behind the gap. */
  readonly at: number;
  /** The markers that should have come before it. */
  readonly lost: readonly number[];
}

export interface JpegSegment {
  readonly marker: number;
  /** Offset of the marker, without the fill bytes before it. */
  readonly start: number;
  /** Offset behind the segment. Of a scan: behind its entropy-coded data. It may be behind the frame if that is cut. */
  readonly end: number;
  /** Of a scan: where its restart markers do not follow each other. */
  readonly gaps: readonly Gap[];
}

/**
 * The segments behind SOI, up to EOI, which is the last one, or to the first byte that cannot be a segment. At most
 * MAX_SEGMENTS.
 */
export function* jpegSegments(bytes: Buffer): Generator<JpegSegment, void, undefined> {
  for (let at = 2, count = 0; at + 2 <= bytes.length && bytes[at] === 0xff && count < MAX_SEGMENTS; ) {
    const marker = bytes[at + 1]!;
    if (marker === Marker.EOI) return yield { marker, start: at, end: at + 2, gaps: [] };
    if (marker === 0xff) {
      at++; // A fill byte.
      continue;
    }
    if (at + 4 > bytes.length) return;
    const body = at + 2 + bytes.readUInt16BE(at + 2);
    const { end, gaps } = marker === Marker.SOS ? scanData(bytes, body) : { end: body, gaps: [] };
    yield { marker, start: at, end, gaps };
    count++;
    at = end;
  }
}

/** The entropy-coded data from `start` on: they end at a marker that is neither RSTn nor the result of a bit error. */
function scanData(bytes: Buffer, start: number): Pick<JpegSegment, 'end' | 'gaps'> {
  const gaps: Gap[] = [];
  let expected = 0;
  for (let at = bytes.indexOf(0xff, start); at >= 0; at = bytes.indexOf(0xff, at)) {
    while (bytes[at + 1] === 0xff) at++; // Fill bytes.
    const marker = bytes[at + 1] ?? 0;
    const isRestart = marker >= Marker.RST0 && marker <= Marker.RST7;
    if (marker >= Marker.SOF0 && !isRestart) return { end: at, gaps };
    if (isRestart) {
      const lost: number[] = [];
      for (; Marker.RST0 + expected !== marker; expected = (expected + 1) % RESTARTS)
        lost.push(Marker.RST0 + expected);
      if (lost.length > 0 && gaps.length < MAX_GAPS) gaps.push({ at, lost });
      expected = (expected + 1) % RESTARTS;
    }
    at += 2;
  }
  return { end: bytes.length, gaps };
}
