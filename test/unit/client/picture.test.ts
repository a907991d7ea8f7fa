import assert from 'node:assert/strict';
import { check, decode, isJpeg, knownFormats, salvage } from '../../../src/client/decoders.js';
import type { ImageFormat } from '../../../src/client/image-format.js';
import { DamagedFrame, PictureError } from '../../../src/client/picture.js';

/** A format. Colour fields that are not given are 0. */
function format(fourcc: string, width: number, height: number, strides: number[], colour = {}): ImageFormat {
  const planes = strides.map((bytesperline) => ({ bytesperline, sizeimage: 0 }));
  return { fourcc, width, height, planes, colorspace: 0, ycbcrEnc: 0, quantization: 0, ...colour };
}

const pixels = async (image: ImageFormat, ...planes: number[][]) => {
  const bytes = planes.map((plane) => Uint8Array.from(plane));
  return [...(await decode(image, bytes)).data];
};

/** Luma 81 and 145, with the chroma of red in BT.601 (Cb 90, Cr 240), limited range. */
const RED = [254, 0, 0];
const PALE = [255, 74, 74];
const _ = 0xee; // Padding. The decoder must not read it.

describe('frames as pictures', () => {
  it('decodes packed 4:2:2 in its four orders, with padded lines', async () => {
    const orders: Record<string, number[]> = {
      YUYV: [81, 90, 145, 240],
      YVYU: [81, 240, 145, 90],
      UYVY: [90, 81, 240, 145],
      VYUY: [240, 81, 90, 145],
    };
    for (const [fourcc, bytes] of Object.entries(orders)) {
      const image = format(fourcc, 2, 2, [6]);
      assert.deepEqual(
        await pixels(image, [...bytes, _, _, ...bytes]),
        [...RED, ...PALE, ...RED, ...PALE],
        `${fourcc} with an unpadded last line`,
      );
    }
  });

  it('decodes semi-planar 4:2:0 in one memory plane and in two', async () => {
    const luma = [81, 145, _, _, 145, 81, _, _];
    const expected = [...RED, ...PALE, ...PALE, ...RED];
    assert.deepEqual(await pixels(format('NV12', 2, 2, [4]), [...luma, 90, 240]), expected);
    assert.deepEqual(await pixels(format('NV21', 2, 2, [4]), [...luma, 240, 90]), expected);
    assert.deepEqual(await pixels(format('NM12', 2, 2, [4, 8]), luma, [90, 240]), expected);
    assert.deepEqual(await pixels(format('NM21', 2, 2, [4, 8]), luma, [240, 90]), expected);
  });

  it('decodes planar 4:2:0 in one memory plane and in three', async () => {
    const luma = [81, 145, _, _, 145, 81, _, _];
    const expected = [...RED, ...PALE, ...PALE, ...RED];
    assert.deepEqual(await pixels(format('YU12', 2, 2, [4]), [...luma, 90, _, 240]), expected);
    assert.deepEqual(await pixels(format('YV12', 2, 2, [4]), [...luma, 240, _, 90]), expected);
    assert.deepEqual(await pixels(format('YM12', 2, 2, [4, 2, 2]), luma, [90], [240]), expected);
    assert.deepEqual(await pixels(format('YM21', 2, 2, [4, 2, 2]), luma, [240], [90]), expected);
  });

  it('decodes 4:2:2 and 4:4:4 in planes', async () => {
    const luma = [81, 145, 81, 145];
    const expected = [...RED, ...PALE, 76, 76, 76, 150, 150, 150];
    assert.deepEqual(await pixels(format('NV16', 2, 2, [2]), [...luma, 90, 240, 128, 128]), expected);
    assert.deepEqual(await pixels(format('NV61', 2, 2, [2]), [...luma, 240, 90, 128, 128]), expected);
    assert.deepEqual(await pixels(format('422P', 2, 2, [2]), [...luma, 90, 128, 240, 128]), expected);
    assert.deepEqual(await pixels(format('NV24', 2, 1, [2]), [81, 81, 90, 240, 128, 128]), [
      ...RED,
      76,
      76,
      76,
    ]);
    assert.deepEqual(await pixels(format('NV42', 2, 1, [2]), [81, 81, 240, 90, 128, 128]), [
      ...RED,
      76,
      76,
      76,
    ]);
  });

  it('takes each pair of columns and lines its own chroma, odd sizes too', async () => {
    const luma = [81, 81, 81, _, 81, 81, 81, _, 81, 81, 81, _];
    const grey = [76, 76, 76];
    const image = format('YU12', 3, 3, [4]);
    assert.deepEqual(await pixels(image, [...luma, 90, 128, 128, 90, 240, 128, 128, 240]), [
      ...[...RED, ...RED, ...grey],
      ...[...RED, ...RED, ...grey],
      ...[...grey, ...grey, ...RED],
    ]);
  });

  it('decodes the primaries of BT.601, limited and full range', async () => {
    const image = (colour: object) => format('YUYV', 2, 1, [4], colour);
    const limited = { colorspace: 8, quantization: 2 };
    assert.deepEqual(await pixels(image(limited), [235, 128, 16, 128]), [255, 255, 255, 0, 0, 0]);
    assert.deepEqual(await pixels(image(limited), [145, 54, 145, 34]), [0, 255, 1, 0, 255, 1]);
    assert.deepEqual(await pixels(image(limited), [41, 240, 41, 110]), [0, 0, 255, 0, 0, 255]);
    const full = { quantization: 1 };
    assert.deepEqual(await pixels(image(full), [76, 85, 76, 255]), [254, 0, 0, 254, 0, 0]);
    assert.deepEqual(await pixels(image(full), [255, 128, 0, 128]), [255, 255, 255, 0, 0, 0]);
  });

  it('takes encoding and range from the colourspace where the format says nothing else', async () => {
    const red709 = [63, 102, 63, 240];
    assert.deepEqual(
      await pixels(format('YUYV', 2, 1, [4], { colorspace: 3 }), red709),
      [255, 1, 0, 255, 1, 0],
    );
    assert.deepEqual(
      await pixels(format('YUYV', 2, 1, [4], { ycbcrEnc: 2 }), red709),
      [255, 1, 0, 255, 1, 0],
    );
    assert.deepEqual(
      await pixels(format('YUYV', 2, 1, [4], { colorspace: 7 }), [76, 85, 76, 255]),
      [254, 0, 0, 254, 0, 0],
      'JPEG is full range',
    );
    assert.deepEqual(
      await pixels(format('YUYV', 2, 1, [4], { colorspace: 3, ycbcrEnc: 1 }), [81, 90, 81, 240]),
      [...RED, ...RED],
      'what the format says beats the colourspace',
    );
  });

  it('decodes RGB in its orders, stretched where the range is limited', async () => {
    const expected = [1, 2, 3, 4, 5, 6];
    assert.deepEqual(await pixels(format('RGB3', 2, 1, [8]), [1, 2, 3, 4, 5, 6]), expected);
    assert.deepEqual(await pixels(format('BGR3', 2, 1, [8]), [3, 2, 1, 6, 5, 4]), expected);
    assert.deepEqual(await pixels(format('XR24', 2, 1, [8]), [3, 2, 1, _, 6, 5, 4, _]), expected);
    assert.deepEqual(await pixels(format('BX24', 2, 1, [8]), [_, 1, 2, 3, _, 4, 5, 6]), expected);
    assert.deepEqual(await pixels(format('AB24', 2, 1, [8]), [1, 2, 3, _, 4, 5, 6, _]), expected);
    assert.deepEqual(
      await pixels(format('RGB3', 1, 2, [4]), [1, 2, 3, _, 4, 5, 6]),
      expected,
      'padded lines',
    );
    const limited = format('RGB3', 1, 1, [3], { quantization: 2 });
    assert.deepEqual(await pixels(limited, [16, 235, 125]), [0, 255, 127]);
  });

  it('decodes luma alone', async () => {
    assert.deepEqual(
      await pixels(format('GREY', 2, 2, [3]), [0, 128, _, 255, 7]),
      [0, 0, 0, 128, 128, 128, 255, 255, 255, 7, 7, 7],
    );
    const limited = format('GREY', 2, 1, [2], { quantization: 2 });
    assert.deepEqual(await pixels(limited, [16, 235]), [0, 0, 0, 255, 255, 255]);
  });

  it('refuses a frame that is cut short, in every format and by a single byte', async () => {
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
      await decode(image, planes);
      for (const [short, length] of lengths.entries()) {
        const cut = planes.map((plane, i) => (i === short ? plane.subarray(0, length - 1) : plane));
        for (const less of [cut, cut.slice(0, short)])
          for (const look of [decode, check])
            await assert.rejects(look(image, less), DamagedFrame, image.fourcc);
      }
    }
  });

  it('names what it knows when it does not know the format', async () => {
    const bayer = format('BA81', 2, 2, [2]);
    for (const look of [decode, salvage])
      await assert.rejects(look(bayer, [new Uint8Array(4)]), (error) => {
        assert.ok(error instanceof PictureError && !(error instanceof DamagedFrame));
        assert.match(error.message, /BA81 cannot be made into a picture; these can: YUYV, .*MJPG/);
        return true;
      });
    await check(bayer, [new Uint8Array(1)]);
    for (const fourcc of 'YUYV UYVY YVYU NV12 NV21 YU12 YV12 RGB3 BGR3 GREY MJPG JPEG NM12'.split(' '))
      assert.ok(knownFormats.includes(fourcc), fourcc);
    assert.ok(isJpeg('MJPG') && !isJpeg('YUYV'));
  });

  it('shows what a frame that is cut short has, in its place, and the rest grey', async () => {
    const shown = async (image: ImageFormat, ...planes: number[][]) => {
      const { picture, missing } = await salvage(
        image,
        planes.map((plane) => Uint8Array.from(plane)),
      );
      return { pixels: [...picture.data], missing };
    };
    const grey = [128, 128, 128];
    assert.deepEqual(await shown(format('RGB3', 1, 2, [3]), [1, 2, 3]), {
      pixels: [1, 2, 3, ...grey],
      missing: 0.5,
    });
    assert.deepEqual(await shown(format('GREY', 2, 2, [2]), [7]), {
      pixels: [7, 7, 7, ...grey, ...grey, ...grey],
      missing: 0.75,
    });
    const full = { quantization: 1 };
    assert.deepEqual(await shown(format('YUYV', 2, 2, [4], full), [200, 128, 10, 128]), {
      pixels: [200, 200, 200, 10, 10, 10, ...grey, ...grey],
      missing: 0.5,
    });
    assert.deepEqual(await shown(format('NM12', 2, 2, [2, 2], full), [1, 2, 3, 4]), {
      pixels: [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4],
      missing: 1 / 3,
    });
    assert.equal((await shown(format('YU12', 4, 4, [4]))).missing, 1);
  });
});
