import assert from 'node:assert/strict';
import { huffmanSegment } from '../../../src/client/huffman.js';
import { checkJpeg, completeJpeg, decodeJpeg, salvageJpeg } from '../../../src/client/jpeg.js';
import { jpegSegments } from '../../../src/client/jpeg-segments.js';
import { DamagedFrame } from '../../../src/client/picture.js';
import * as turbo from './support/jpeg-turbo.js';

const WIDTH = 96;
const HEIGHT = 64;
const END_BYTES = 2;
/** Pixels of a minimum coded unit of 4:2:2. libjpeg fills one such unit with zero bits before it notices a loss. */
const MCU_WIDTH = 16;
const scene = turbo.scene(WIDTH, HEIGHT);
const photograph = turbo.encode(scene, '4:2:2');

/** The values of some lines. */
const lines = ({ data }: { data: ArrayLike<number> }, first: number, end: number): number[] =>
  Array.prototype.slice.call(data, first * WIDTH * 3, end * WIDTH * 3);

function equal(shown: { width: number; height: number; data: ArrayLike<number> }, wanted: turbo.Pixels) {
  assert.deepEqual([shown.width, shown.height], [wanted.width, wanted.height]);
  assert.ok(Buffer.from(wanted.data).equals(Buffer.from(Uint8Array.from(shown.data))), 'other pixels');
}

/** The same sentence from decoder and check: a frame of which they say so is damaged. */
async function damaged(frame: Uint8Array, sentence: RegExp): Promise<void> {
  for (const look of [decodeJpeg, checkJpeg])
    await assert.rejects(
      look(frame),
      (error) => error instanceof DamagedFrame && sentence.test(error.message),
    );
}

describe('JPEG frames', () => {
  it('get the typical Huffman tables where they have none, byte for byte', () => {
    const bare = turbo.withoutTables(photograph);
    assert.equal(photograph.length - bare.length, huffmanSegment.length + 3 * 4);
    const complete = completeJpeg(bare);
    assert.equal(complete.length, bare.length + huffmanSegment.length);
    equal(turbo.decode(complete), turbo.decode(photograph));
  });

  it('get the end marker where it is missing, or half of it', () => {
    assert.deepEqual(completeJpeg(photograph.subarray(0, -END_BYTES)), photograph);
    const half = completeJpeg(photograph.subarray(0, -1));
    assert.deepEqual([...half.subarray(-3)], [0xff, 0xff, 0xd9]);
    equal(turbo.decode(half), turbo.decode(photograph));
  });

  it('stay as they are where they lack nothing, with what lies behind the picture', () => {
    assert.deepEqual(completeJpeg(photograph), photograph);
    const longer = Buffer.concat([photograph, Buffer.alloc(10)]);
    assert.deepEqual(completeJpeg(longer), longer);
    const filled = Buffer.concat([
      photograph.subarray(0, 2),
      Buffer.from([0xff, 0xff]),
      photograph.subarray(2),
    ]);
    assert.deepEqual(completeJpeg(filled), filled);
  });

  for (const sampling of turbo.everySampling)
    it(`of ${sampling} decode to the pixels of libjpeg, in odd sizes too`, async () => {
      for (const [width, height] of [
        [WIDTH, HEIGHT],
        [83, 45],
      ] as const) {
        const jpeg = turbo.encode(turbo.scene(width, height), sampling);
        equal(await decodeJpeg(jpeg), turbo.decode(jpeg));
        equal(await decodeJpeg(turbo.withoutTables(jpeg)), turbo.decode(jpeg));
      }
    });

  it('decode exactly without the end marker, with padding, and without the one before the other', async () => {
    const wanted = turbo.decode(photograph);
    const bare = photograph.subarray(0, -END_BYTES);
    const zeros = Buffer.alloc(3000);
    for (const frame of [
      bare,
      photograph.subarray(0, -1),
      Buffer.concat([photograph, zeros]),
      Buffer.concat([bare, zeros]),
      turbo.withoutTables(Buffer.concat([bare, zeros])),
    ]) {
      await checkJpeg(frame);
      equal(await decodeJpeg(frame), wanted);
    }
  });

  it('of RGB have the colours that they say', async () => {
    const jpeg = turbo.adobeRgb(turbo.encode(scene, '4:4:4', 98));
    const shown = await decodeJpeg(jpeg);
    equal(shown, turbo.decode(jpeg));
    const { data } = scene;
    for (let at = 0; at < data.length; at += 3) {
      const [red, green, blue] = [data[at]!, data[at + 1]!, data[at + 2]!];
      const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
      const wanted = [luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402];
      for (const [i, value] of wanted.entries())
        assert.ok(
          Math.abs(shown.data[at + i]! - value) < 12,
          `${at + i}: ${shown.data[at + i]}, not ${value}`,
        );
    }
  });

  it('with restart intervals decode as without', async () => {
    const jpeg = turbo.withRestarts(scene, '4:2:2');
    await checkJpeg(jpeg);
    equal(await decodeJpeg(jpeg), turbo.decode(jpeg));
    equal(await decodeJpeg(jpeg), turbo.decode(turbo.encode(scene, '4:2:2')));
  });

  describe('that lost restart intervals', () => {
    const whole = turbo.decode(turbo.encode(scene, '4:2:2'));
    const isAbsent = (value: number, at: number) => value === 128 || at % (WIDTH * 3) < MCU_WIDTH * 3;
    /** Of eight intervals, `count` are lost, each with the marker before it; the first one is interval 1. */
    const lose = (count: number) =>
      turbo.withRestarts(scene, '4:2:2', (pieces) => pieces.splice(1, 2 * count));

    for (const [count, sentence] of [
      [1, /^the JPEG frame is damaged: a restart interval is missing$/],
      [2, /: 2 restart intervals are missing$/],
      [3, /: 3 restart intervals are missing$/],
      [6, /: 6 restart intervals are missing$/],
    ] as const)
      it(`say so, and keep every other line in its place: ${count}`, async () => {
        await damaged(lose(count), sentence);
        for (const frame of [lose(count), turbo.withoutTables(lose(count))]) {
          const { picture, missing } = await salvageJpeg(frame);
          const end = 8 + 8 * count;
          assert.deepEqual(lines(picture, 0, 8), lines(whole, 0, 8));
          assert.ok(lines(picture, 8, end).every(isAbsent));
          assert.deepEqual(lines(picture, end, HEIGHT), lines(whole, end, HEIGHT));
          assert.ok(
            missing <= count / 8 && missing > ((1 - MCU_WIDTH / WIDTH) * count) / 8 - 0.01,
            `${missing}`,
          );
        }
      });

    it('are in place again behind the next marker, if the marker behind an interval is lost with it', async () => {
      const frame = turbo.withRestarts(scene, '4:2:2', (pieces) => pieces.splice(4, 2));
      await damaged(frame, /damaged/);
      const { picture } = await salvageJpeg(frame);
      assert.deepEqual(lines(picture, 0, 16), lines(whole, 0, 16));
      assert.deepEqual(lines(picture, 32, HEIGHT), lines(whole, 32, HEIGHT));
    });

    it('say so if these are the last ones', async () => {
      const frame = turbo.withRestarts(scene, '4:2:2', (pieces) => pieces.splice(12, 3));
      await assert.rejects(decodeJpeg(frame), DamagedFrame);
      assert.deepEqual(lines((await salvageJpeg(frame)).picture, 0, 48), lines(whole, 0, 48));
    });
  });

  it('that were cut show what has arrived, and say how much is missing', async () => {
    const whole = turbo.decode(photograph);
    const cut = photograph.subarray(0, photograph.length / 2);
    await damaged(cut, /^the JPEG frame is damaged: premature end of data segment$/);
    await damaged(turbo.withoutTables(cut), /premature end/);
    const { picture, missing } = await salvageJpeg(cut);
    assert.ok(missing > 0.3 && missing < 0.7, `${missing} is missing`);
    assert.deepEqual(lines(picture, 0, 16), lines(whole, 0, 16));
    assert.ok(lines(picture, HEIGHT - 16, HEIGHT).every((value) => value === 128));
  });

  it('that were overwritten in the middle say so when they are decoded', async () => {
    const jpeg = turbo.withRestarts(scene, '4:2:2', (pieces) => pieces.splice(9, 0, Buffer.alloc(9, 0x55)));
    await checkJpeg(jpeg);
    await assert.rejects(decodeJpeg(jpeg), /damaged: 9 extraneous bytes before marker 0xd4/);
    assert.equal((await salvageJpeg(jpeg)).missing, 0);
  });

  it('give no decoder anything but the picture to read', async () => {
    // An EXIF segment that turns the picture, and a profile that no library can read.
    const exif = Buffer.from(
      'Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0',
      'latin1',
    );
    const profile = Buffer.from('ICC_PROFILE\0\x01\x01garbage', 'latin1');
    const jpeg = turbo.withSegment(turbo.withSegment(photograph, 0xe1, exif), 0xe2, profile);
    equal(await decodeJpeg(jpeg), turbo.decode(photograph));
    assert.deepEqual(completeJpeg(jpeg), jpeg);
  });

  it('are refused with a sentence when they are something else, at any length', async () => {
    await damaged(Buffer.alloc(0), /the frame is empty/);
    await damaged(Buffer.from('RIFF....'), /no JPEG: it starts with 52494646/);
    await damaged(photograph.subarray(0, 100), /no JPEG: it has no scan/);
    const small = turbo.encode(turbo.scene(16, 16), '4:2:0');
    for (const jpeg of [small, turbo.withoutTables(small)])
      for (let length = 0; length < jpeg.length - END_BYTES; length++)
        await assert.rejects(decodeJpeg(jpeg.subarray(0, length)), DamagedFrame, `${length} bytes`);
  });

  it('with impossible sizes are refused', async () => {
    const start = photograph.indexOf(Buffer.from([0xff, 0xc0]));
    const sized = (height: number, width: number) => {
      const frame = Buffer.from(photograph);
      frame.writeUInt16BE(height, start + 5);
      frame.writeUInt16BE(width, start + 7);
      return frame;
    };
    for (const frame of [sized(0xffff, 0xffff), sized(0xf000, 0xf000), sized(8192, 8192), sized(0, 640)]) {
      await assert.rejects(decodeJpeg(frame), DamagedFrame);
      await assert.rejects(salvageJpeg(frame), DamagedFrame);
    }
  });

  it('of nothing but segments, scans or restart markers are read to a bound', async () => {
    const scan = photograph.indexOf(Buffer.from([0xff, 0xda]));
    const header = photograph.subarray(0, scan + 14);
    const many = (bytes: number[]) => Buffer.alloc(4 << 20, Buffer.from(bytes));
    const frames = [
      Buffer.concat([photograph.subarray(0, 2), many([0xff, 0xe5, 0, 2])]),
      Buffer.concat([header, many([0xff, 0xda, 0, 2])]),
      Buffer.concat([header, many([0xff, 0xd7])]),
      Buffer.concat([header, many([0xff])]),
    ];
    for (const frame of frames) {
      const segments = [...jpegSegments(frame)];
      assert.ok(segments.length <= 1024, `${segments.length} segments`);
      for (const { gaps } of segments) assert.ok(gaps.length <= 1024, `${gaps.length} gaps`);
      await assert.rejects(checkJpeg(frame), DamagedFrame);
      await salvageJpeg(frame).catch((error) => assert.ok(error instanceof DamagedFrame));
    }
  });

  it('with any bytes changed end in a picture or a sentence', async () => {
    let state = 7;
    const random = (below: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const seeds = [
      ...turbo.everySampling.map((sampling) => turbo.encode(scene, sampling)),
      turbo.withRestarts(scene, '4:4:4'),
      turbo.adobeRgb(turbo.encode(scene, '4:4:4')),
    ];
    let pictures = 0;
    for (let run = 0; run < 300; run++) {
      const frame = Buffer.from(seeds[random(seeds.length)]!);
      const area = random(2) === 0 ? 650 : frame.length;
      for (let n = random(8); n >= 0; n--) frame[2 + random(area - 2)] = random(256);
      for (const look of [completeJpeg, decodeJpeg, salvageJpeg, checkJpeg])
        try {
          await look(frame);
          if (look === salvageJpeg) pictures++;
        } catch (error) {
          assert.ok(error instanceof DamagedFrame, `run ${run}: ${error}`);
        }
    }
    assert.ok(pictures > 100, `${pictures} pictures`);
  });

  it('have tables whose counts are those of their values', () => {
    assert.equal(huffmanSegment.length, 420);
    assert.equal(huffmanSegment.readUInt16BE(0), 0xffc4);
    let at = 4;
    const lengths: number[] = [];
    while (at < huffmanSegment.length) {
      const counts = [...huffmanSegment.subarray(at + 1, at + 17)];
      const total = counts.reduce((sum, count) => sum + count, 0);
      assert.equal(new Set(huffmanSegment.subarray(at + 17, at + 17 + total)).size, total);
      lengths.push(total);
      at += 17 + total;
    }
    assert.deepEqual(lengths, [12, 162, 12, 162]);
    assert.equal(at, huffmanSegment.length);
  });
});
