/** JPEG frames of cameras: often without Huffman tables (MJPEG as in AVI) or end marker, and sometimes damaged. */
import { huffmanSegment } from './huffman.js';
import { type JpegSegment, jpegSegments, Marker } from './jpeg-segments.js';
import { ABSENT, DamagedFrame, type Picture, type Salvage } from './picture.js';
import { firstLine, loadSharp } from './sharp.js';

/** FOURCCs of frames that are JPEG files, or nearly. */
export const JPEG_FORMATS: readonly string[] = ['MJPG', 'JPEG'];
const MAX_PIXELS = 64e6;
/** A frame with thousands of scans takes minutes. */
const MAX_SECONDS = 10;
const DAMAGED = 'the JPEG frame is damaged: ';
const END = Buffer.from([0xff, Marker.EOI]);

/**
 * A copy of the frame that any decoder takes. It has the typical tables, the end marker and the restart markers of lost
 * intervals if the frame has not: decoders find at most two lost intervals themselves. Throws DamagedFrame.
 */
export function completeJpeg(frame: Uint8Array): Buffer {
  const jpeg = readJpeg(frame);
  return Buffer.concat([jpeg.bytes.subarray(0, jpeg.scan.start), ...completed(jpeg)]);
}

/** Throws DamagedFrame. The picture has no defect that the decoder notices. */
export async function decodeJpeg(frame: Uint8Array): Promise<Picture> {
  return decodeWhole(readJpeg(frame));
}

async function decodeWhole(jpeg: Jpeg): Promise<Picture> {
  demandIntervals(jpeg);
  const complete = essence(jpeg);
  try {
    return await decoded(complete, 'warning');
  } catch (error) {
    if (error instanceof DamagedFrame && isPadding(error.message, complete)) return decoded(complete, 'none');
    throw error;
  }
}

/** The part of the picture that has arrived, each line in its place; the rest is grey. Throws DamagedFrame. */
export async function salvageJpeg(frame: Uint8Array): Promise<Salvage> {
  const picture = await decoded(essence(readJpeg(frame)), 'none');
  return { picture, missing: greyShare(picture) };
}

/**
 * Throws DamagedFrame if the frame is damaged. It is decoded only if its markers leave a doubt, so damage within the
 * data of the picture is not found.
 */
export async function checkJpeg(frame: Uint8Array): Promise<void> {
  const jpeg = readJpeg(frame);
  demandIntervals(jpeg);
  if (jpeg.segments.at(-1)!.marker !== Marker.EOI) await decodeWhole(jpeg);
}

interface Jpeg {
  readonly bytes: Buffer;
  readonly segments: readonly JpegSegment[];
  /** The first scan. */
  readonly scan: JpegSegment;
}

function readJpeg(frame: Uint8Array): Jpeg {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length === 0) throw new DamagedFrame('the frame is empty');
  if (bytes.length < 4 || bytes[0] !== 0xff || bytes[1] !== Marker.SOI)
    throw new DamagedFrame(`the frame is no JPEG: it starts with ${bytes.subarray(0, 4).toString('hex')}`);
  const segments = [...jpegSegments(bytes)];
  const scan = segments.find(({ marker }) => marker === Marker.SOS);
  if (!scan) throw new DamagedFrame('the frame is no JPEG: it has no scan');
  return { bytes, segments, scan };
}

function demandIntervals({ segments }: Jpeg): void {
  const lost = segments.flatMap(({ gaps }) => gaps.flatMap((gap) => gap.lost)).length;
  if (lost === 1) throw new DamagedFrame(`${DAMAGED}a restart interval is missing`);
  if (lost > 1) throw new DamagedFrame(`${DAMAGED}${lost} restart intervals are missing`);
}

/** The frame from its first scan on, with what it lacks. */
function completed({ bytes, segments, scan }: Jpeg): Buffer[] {
  const pieces: Buffer[] = [];
  let at = scan.start;
  for (const gap of segments.flatMap(({ gaps }) => gaps)) {
    pieces.push(bytes.subarray(at, gap.at), ...gap.lost.map((marker) => Buffer.from([0xff, marker])));
    at = gap.at;
  }
  const hasTables = segments.some(({ marker, start }) => marker === Marker.DHT && start < scan.start);
  const hasEnd = segments.at(-1)!.marker === Marker.EOI;
  return [...(hasTables ? [] : [huffmanSegment]), ...pieces, bytes.subarray(at), ...(hasEnd ? [] : [END])];
}

/** The complete frame without what the picture does not need, so that no parser of EXIF or of profiles gets to it. */
function essence(jpeg: Jpeg): Buffer {
  const { bytes, segments, scan } = jpeg;
  const needed = segments.filter(({ start, marker }) => start < scan.start && !isUnneeded(marker));
  const pieces = needed.map(({ start, end }) => bytes.subarray(start, end));
  return Buffer.concat([bytes.subarray(0, 2), ...pieces, ...completed(jpeg)]);
}

/** APP0 (JFIF) and APP14 (Adobe) say what the components are. */
function isUnneeded(marker: number): boolean {
  if (marker === Marker.APP0 || marker === Marker.APP14) return false;
  return marker === Marker.COM || (marker > Marker.APP0 && marker <= Marker.APP15);
}

/** `failOn`: the least defect that is an error. Throws DamagedFrame, whose message has the defect. */
async function decoded(bytes: Buffer, failOn: 'none' | 'warning'): Promise<Picture> {
  const sharp = await loadSharp();
  try {
    const { data, info } = await sharp(bytes, { failOn, limitInputPixels: MAX_PIXELS })
      .timeout({ seconds: MAX_SECONDS })
      .toColourspace('srgb')
      .raw()
      .toBuffer({ resolveWithObject: true });
    const { width, height, channels } = info;
    return { width, height, data: channels === 1 ? tripled(data) : data };
  } catch (error) {
    const defect = firstLine(error as Error).replace(/^.*VipsJpeg: (Corrupt JPEG data: )?/, '');
    throw new DamagedFrame(`${DAMAGED}${defect}`);
  }
}

function tripled(grey: Uint8Array): Uint8Array {
  const data = new Uint8Array(grey.length * 3);
  for (const [pixel, value] of grey.entries()) data.fill(value, pixel * 3, pixel * 3 + 3);
  return data;
}

/** Whether the defect is only that zeros stand between the picture and the end marker. */
function isPadding(defect: string, bytes: Buffer): boolean {
  const [, extraneous] = / (\d+) extraneous bytes before marker 0xd9$/.exec(defect) ?? [];
  let zeros = 0;
  while (bytes[bytes.length - END.length - 1 - zeros] === 0) zeros++;
  return extraneous !== undefined && Number(extraneous) <= zeros;
}

const BLOCK = 8;

/** The share of the picture's blocks that are as the decoder leaves those without data. */
function greyShare({ width, height, data }: Picture): number {
  let [grey, blocks] = [0, 0];
  for (let y = 0; y < height; y += BLOCK)
    for (let x = 0; x < width; x += BLOCK, blocks++) {
      const rows = Array.from({ length: Math.min(BLOCK, height - y) }, (_, row) => (y + row) * width);
      const last = Math.min(x + BLOCK, width);
      if (rows.every((row) => isAbsent(data, (row + x) * 3, (row + last) * 3))) grey++;
    }
  return grey / blocks;
}

function isAbsent(data: Picture['data'], start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (data[at] !== ABSENT) return false;
  return true;
}
