import assert from 'node:assert/strict';
import { PNG } from 'pngjs';
import { decode, isJpeg, knownFormats } from '../../../src/client/decoders.js';
import type { ImageFormat } from '../../../src/client/image-format.js';
import { encodePng, PictureError } from '../../../src/client/picture.js';

/** A format. Colour fields that are not given are 0. */
function format(fourcc: string, width: number, height: number, strides: number[], colour = {}): ImageFormat {
  const planes = strides.map((bytesperline) => ({ bytesperline, sizeimage: 0 }));
  return { fourcc, width, height, planes, colorspace: 0, ycbcrEnc: 0, quantization: 0, ...colour };
}

const pixels = (image: ImageFormat, ...planes: number[][]) => [
  ...decode(
    image,
    planes.map((bytes) => Uint8Array.from(bytes)),
  ).data,
];

/** Luma 81 and 145, with the chroma of red in BT.601 (Cb 90, Cr 240), limited range. */
const RED = [254, 0, 0];
const PALE = [255, 74, 74];
const _ = 0xee; // Padding. The decoder must not read it.

describe('frames as pictures', () => {
  it('decodes packed 4:2:2 in its four orders, with padded lines', () => {
    const orders: Record<string, number[]> = {
      YUYV: [81, 90, 145, 240],
      YVYU: [81, 240, 145, 90],
      UYVY: [90, 81, 240, 145],
      VYUY: [240, 81, 90, 145],
    };
    for (const [fourcc, bytes] of Object.entries(orders)) {
      const image = format(fourcc, 2, 2, [6]);
      assert.deepEqual(
        pixels(image, [...bytes, _, _, ...bytes]),
        [...RED, ...PALE, ...RED, ...PALE],
        `${fourcc} with an unpadded last line`,
      );
    }
  });

  it('decodes semi-planar 4:2:0 in one memory plane and in two', () => {
    const luma = [81, 145, _, _, 145, 81, _, _];
    const expected = [...RED, ...PALE, ...PALE, ...RED];
    assert.deepEqual(pixels(format('NV12', 2, 2, [4]), [...luma, 90, 240]), expected);
    assert.deepEqual(pixels(format('NV21', 2, 2, [4]), [...luma, 240, 90]), expected);
    assert.deepEqual(pixels(format('NM12', 2, 2, [4, 8]), luma, [90, 240]), expected);
    assert.deepEqual(pixels(format('NM21', 2, 2, [4, 8]), luma, [240, 90]), expected);
  });

  it('decodes planar 4:2:0 in one memory plane and in three', () => {
    const luma = [81, 145, _, _, 145, 81, _, _];
    const expected = [...RED, ...PALE, ...PALE, ...RED];
    assert.deepEqual(pixels(format('YU12', 2, 2, [4]), [...luma, 90, _, 240]), expected);
    assert.deepEqual(pixels(format('YV12', 2, 2, [4]), [...luma, 240, _, 90]), expected);
    assert.deepEqual(pixels(format('YM12', 2, 2, [4, 2, 2]), luma, [90], [240]), expected);
    assert.deepEqual(pixels(format('YM21', 2, 2, [4, 2, 2]), luma, [240], [90]), expected);
  });

  it('decodes 4:2:2 and 4:4:4 in planes', () => {
    const luma = [81, 145, 81, 145];
    const expected = [...RED, ...PALE, 76, 76, 76, 150, 150, 150];
    assert.deepEqual(pixels(format('NV16', 2, 2, [2]), [...luma, 90, 240, 128, 128]), expected);
    assert.deepEqual(pixels(format('NV61', 2, 2, [2]), [...luma, 240, 90, 128, 128]), expected);
    assert.deepEqual(pixels(format('422P', 2, 2, [2]), [...luma, 90, 128, 240, 128]), expected);
    assert.deepEqual(pixels(format('NV24', 2, 1, [2]), [81, 81, 90, 240, 128, 128]), [...RED, 76, 76, 76]);
    assert.deepEqual(pixels(format('NV42', 2, 1, [2]), [81, 81, 240, 90, 128, 128]), [...RED, 76, 76, 76]);
  });

  it('takes each pair of columns and lines its own chroma, odd sizes too', () => {
    const luma = [81, 81, 81, _, 81, 81, 81, _, 81, 81, 81, _];
    const grey = [76, 76, 76];
    const image = format('YU12', 3, 3, [4]);
    assert.deepEqual(pixels(image, [...luma, 90, 128, 128, 90, 240, 128, 128, 240]), [
      ...[...RED, ...RED, ...grey],
      ...[...RED, ...RED, ...grey],
      ...[...grey, ...grey, ...RED],
    ]);
  });

  it('decodes the primaries of BT.601, limited and full range', () => {
    const image = (colour: object) => format('YUYV', 2, 1, [4], colour);
    const limited = { colorspace: 8, quantization: 2 };
    assert.deepEqual(pixels(image(limited), [235, 128, 16, 128]), [255, 255, 255, 0, 0, 0]);
    assert.deepEqual(pixels(image(limited), [145, 54, 145, 34]), [0, 255, 1, 0, 255, 1]);
    assert.deepEqual(pixels(image(limited), [41, 240, 41, 110]), [0, 0, 255, 0, 0, 255]);
    const full = { quantization: 1 };
    assert.deepEqual(pixels(image(full), [76, 85, 76, 255]), [254, 0, 0, 254, 0, 0]);
    assert.deepEqual(pixels(image(full), [255, 128, 0, 128]), [255, 255, 255, 0, 0, 0]);
  });

  it('takes encoding and range from the colourspace where the format says nothing else', () => {
    const red709 = [63, 102, 63, 240];
    assert.deepEqual(pixels(format('YUYV', 2, 1, [4], { colorspace: 3 }), red709), [255, 1, 0, 255, 1, 0]);
    assert.deepEqual(pixels(format('YUYV', 2, 1, [4], { ycbcrEnc: 2 }), red709), [255, 1, 0, 255, 1, 0]);
    assert.deepEqual(
      pixels(format('YUYV', 2, 1, [4], { colorspace: 7 }), [76, 85, 76, 255]),
      [254, 0, 0, 254, 0, 0],
      'JPEG is full range',
    );
    assert.deepEqual(
      pixels(format('YUYV', 2, 1, [4], { colorspace: 3, ycbcrEnc: 1 }), [81, 90, 81, 240]),
      [...RED, ...RED],
      'what the format says beats the colourspace',
    );
  });

  it('decodes RGB in its orders, stretched where the range is limited', () => {
    const expected = [1, 2, 3, 4, 5, 6];
    assert.deepEqual(pixels(format('RGB3', 2, 1, [8]), [1, 2, 3, 4, 5, 6]), expected);
    assert.deepEqual(pixels(format('BGR3', 2, 1, [8]), [3, 2, 1, 6, 5, 4]), expected);
    assert.deepEqual(pixels(format('XR24', 2, 1, [8]), [3, 2, 1, _, 6, 5, 4, _]), expected);
    assert.deepEqual(pixels(format('BX24', 2, 1, [8]), [_, 1, 2, 3, _, 4, 5, 6]), expected);
    assert.deepEqual(pixels(format('AB24', 2, 1, [8]), [1, 2, 3, _, 4, 5, 6, _]), expected);
    assert.deepEqual(pixels(format('RGB3', 1, 2, [4]), [1, 2, 3, _, 4, 5, 6]), expected, 'padded lines');
    const limited = format('RGB3', 1, 1, [3], { quantization: 2 });
    assert.deepEqual(pixels(limited, [16, 235, 125]), [0, 255, 127]);
  });

  it('decodes luma alone', () => {
    assert.deepEqual(
      pixels(format('GREY', 2, 2, [3]), [0, 128, _, 255, 7]),
      [0, 0, 0, 128, 128, 128, 255, 255, 255, 7, 7, 7],
    );
    const limited = format('GREY', 2, 1, [2], { quantization: 2 });
    assert.deepEqual(pixels(limited, [16, 235]), [0, 0, 0, 255, 255, 255]);
  });

  it('refuses a frame that is cut short, in every format and by a single byte', () => {
    const whole: [ImageFormat, number[]][] = [
      [format('YUYV', 2, 2, [6]), [10]],
      [format('NV12', 2, 2, [4]), [10]],
      [format('NM12', 2, 2, [4, 8]), [6, 2]],
      [format('YU12', 2, 2, [4]), [11]],
      [format('YM12', 2, 2, [4, 2, 2]), [6, 1, 1]],
      [format('GREY', 2, 2, [3]), [5]],
      [format('RGB3', 1, 2, [4]), [7]],
    ];
    for (const [image, lengths] of whole) {
      const planes = lengths.map((length) => new Uint8Array(length));
      decode(image, planes);
      for (const [short, length] of lengths.entries()) {
        const cut = planes.map((plane, i) => (i === short ? plane.subarray(0, length - 1) : plane));
        assert.throws(() => decode(image, cut), PictureError, image.fourcc);
        assert.throws(() => decode(image, cut.slice(0, short)), PictureError, image.fourcc);
      }
    }
  });

  it('names what it knows when it does not know the format', () => {
    assert.throws(
      () => decode(format('BA81', 2, 2, [2]), [new Uint8Array(4)]),
      /BA81 cannot be made into a picture; these can: YUYV, .*MJPG/,
    );
    for (const fourcc of 'YUYV UYVY YVYU NV12 NV21 YU12 YV12 RGB3 BGR3 GREY MJPG JPEG NM12'.split(' '))
      assert.ok(knownFormats.includes(fourcc), fourcc);
    assert.ok(isJpeg('MJPG') && !isJpeg('YUYV'));
  });

  it('writes PNG that reads back the same', () => {
    const data = Uint8Array.from([255, 0, 0, 1, 2, 3, 0, 255, 0, 4, 5, 6]);
    const png = PNG.sync.read(encodePng({ width: 2, height: 2, data }));
    assert.deepEqual([png.width, png.height], [2, 2]);
    assert.deepEqual([...png.data], [255, 0, 0, 255, 1, 2, 3, 255, 0, 255, 0, 255, 4, 5, 6, 255]);
  });
});
