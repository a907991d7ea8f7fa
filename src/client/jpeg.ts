/** JPEG frames of cameras. They often have no Huffman tables (MJPEG as in AVI). The results here always have them. */
import jpeg from 'jpeg-js';
import { huffmanSegment } from './huffman.js';
import { type Picture, PictureError } from './picture.js';

/** Markers, ITU-T T.81, Table B.1. */
const SOI = 0xd8;
const DHT = 0xc4;
const SOS = 0xda;
const MAX_MEGAPIXELS = 64;
const MAX_MEGABYTES = 1024;

/** A copy of the frame that any decoder takes: the typical tables are added if it has none. Throws PictureError. */
export function completeJpeg(frame: Uint8Array): Buffer {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  if (bytes.length < 4 || bytes[0] !== 0xff || bytes[1] !== SOI)
    throw new PictureError(`the frame is no JPEG: it starts with ${bytes.subarray(0, 4).toString('hex')}`);
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff; ) {
    const marker = bytes[at + 1]!;
    if (marker === DHT) return Buffer.from(bytes);
    if (marker === SOS) return Buffer.concat([bytes.subarray(0, at), huffmanSegment, bytes.subarray(at)]);
    // Any number of fill bytes (0xff) may precede a marker.
    at += marker === 0xff ? 1 : 2 + bytes.readUInt16BE(at + 2);
  }
  throw new PictureError('the frame is no JPEG: it has no scan');
}

/** Throws PictureError. */
export function decodeJpeg(frame: Uint8Array): Picture {
  const complete = completeJpeg(frame);
  try {
    return jpeg.decode(complete, {
      useTArray: true,
      formatAsRGBA: false,
      maxResolutionInMP: MAX_MEGAPIXELS,
      maxMemoryUsageInMB: MAX_MEGABYTES,
    });
  } catch (error) {
    throw new PictureError(`the JPEG frame cannot be decoded: ${(error as Error).message}`);
  }
}
