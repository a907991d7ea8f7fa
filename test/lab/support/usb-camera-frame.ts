/** Checks the frames of the USB camera against the definition in usb-camera/pattern.h. */
import assert from 'node:assert/strict';
import { decode } from '../../unit/client/support/jpeg-turbo.js';

const PERIOD = 65_521;
const STEP = 257;
const BLOCK = 8;
/** 4:2:2 in YUY2: two bytes a pixel. */
const LARGEST = 640 * 360 * 2;

const noise = Buffer.alloc(PERIOD);
let state = 1;
for (let i = 0; i < PERIOD; i++) {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  noise[i] = state & 0xff;
}
const endless = Buffer.alloc(PERIOD + LARGEST, noise);

function start(frame: number): number {
  return (STEP * frame) % PERIOD;
}

/** Returns the number of a YUY2 frame. Throws unless every byte is right. */
export function verifyYuy2(bytes: Uint8Array, length: number): number {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUInt32LE();
  const what = `frame ${frame}`;
  assert.equal(bytes.length, length, `${what}: bytes`);
  const wanted = endless.subarray(start(frame) + 4, start(frame) + length);
  if (wanted.equals(bytes.subarray(4))) return frame;
  const wrong = wanted.findIndex((byte, i) => byte !== bytes[i + 4]);
  assert.fail(`${what}: byte ${wrong + 4} is ${bytes[wrong + 4]}, expected ${wanted[wrong]}`);
}

/** The number in the comment, which is the first segment. */
function numberOf(bytes: Uint8Array): number {
  const jpeg = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  assert.equal(jpeg.readUInt16BE(2), 0xfffe, 'no comment');
  return Number(jpeg.toString('latin1', 6, 4 + jpeg.readUInt16BE(4)));
}

/** Returns the number of an MJPEG frame. Throws unless it is one whole picture and every pixel is right. */
export function verifyMjpeg(bytes: Uint8Array, width: number, height: number): number {
  assert.deepEqual([...bytes.subarray(0, 2), ...bytes.subarray(-2)], [0xff, 0xd8, 0xff, 0xd9]);
  const picture = decode(bytes);
  assert.deepEqual([picture.width, picture.height], [width, height]);
  const frame = numberOf(bytes);
  const columns = Math.ceil(width / BLOCK);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const block = Math.floor(y / BLOCK) * columns + Math.floor(x / BLOCK);
      const shown = picture.data[(y * width + x) * 3];
      if (shown !== endless[start(frame) + block])
        assert.fail(
          `frame ${frame}: pixel ${x}, ${y} is ${shown}, expected ${endless[start(frame) + block]}`,
        );
    }
  return frame;
}
