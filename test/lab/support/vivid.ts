/** vivid: its controls, and the bytes of its moving colour bars, computed from the numbers of the standards. */
import assert from 'node:assert/strict';
import { NativeNode } from './native-node.js';

export const VividControl = {
  BRIGHTNESS: 0x00980900,
  CONTRAST: 0x00980901,
  VOLUME: 0x00980905,
  MUTE: 0x00980909,
  BUTTON: 0x0098f900,
  BOOLEAN: 0x0098f901,
  INTEGER: 0x0098f902,
  INTEGER64: 0x0098f903,
  MENU: 0x0098f904,
  STRING: 0x0098f905,
  INTEGER_MENU: 0x0098f907,
  U32_ARRAY: 0x0098f908,
  U16_MATRIX: 0x0098f909,
  U8_ARRAY: 0x0098f90a,
  AREA: 0x0098f90b,
  READ_ONLY: 0x0098f90c,
  DYNAMIC_ARRAY: 0x0098f90d,
  PIXEL_ARRAY: 0x0098f90e,
  TEST_PATTERN: 0x00f0f000,
  OSD: 0x00f0f001,
  HORIZONTAL_MOVEMENT: 0x00f0f002,
  DROPPED: 0x00f0f040,
  DISCONNECT: 0x00f0f041,
  /** A menu of the instance: Test Pattern Generator, None, then each output of this kind. */
  S_VIDEO_CONNECTED_TO: 0x00f0f080,
} as const;

/** Index among vivid's inputs: webcam, TV, S-Video, HDMI. */
const S_VIDEO_INPUT = 2;
/** Index among vivid's outputs: S-Video, HDMI. */
const S_VIDEO_OUTPUT = 0;
const FIRST_S_VIDEO_OUTPUT = 2;
const S_INPUT = 39;
const S_OUTPUT = 47;

const COLOUR_BARS_100 = 1;
const OSD_NONE = 2;
/** The chroma of grey. */
const NO_COLOUR = 0x80;
const MANY_GREYS = 100;
const STAND_STILL = 3;
const MOVE_RIGHT = 5;

/**
 * Selects the S-Video input of the capture node and the S-Video output of the output node. Only analogue ones have a
 * blanking interval.
 */
export async function selectSVideo(capture: string, output: string): Promise<void> {
  const number = (value: number) => Buffer.from([value, 0, 0, 0]);
  const chosen = [
    await NativeNode.with(capture, (node) => node.ioctl(S_INPUT, number(S_VIDEO_INPUT))),
    await NativeNode.with(output, (node) => node.ioctl(S_OUTPUT, number(S_VIDEO_OUTPUT))),
  ];
  for (const { errno } of chosen) assert.equal(errno, 0);
}

/**
 * Connects the capture node's S-Video input to the first output, without text. It shows noise while that output has no
 * buffer.
 */
export function connectSVideo(capture: string): Promise<void> {
  return NativeNode.with(capture, async (node) => {
    await node.setControl(VividControl.OSD, OSD_NONE);
    await node.setControl(VividControl.S_VIDEO_CONNECTED_TO, FIRST_S_VIDEO_OUTPUT);
  });
}

/** Whether a YUYV picture is vivid's noise: only greys, and many different ones. */
export function isNoise(picture: Uint8Array): boolean {
  const greys = new Set<number>();
  for (let at = 0; at < picture.length; at += 2) {
    if (picture[at + 1] !== NO_COLOUR) return false;
    greys.add(picture[at]!);
  }
  return greys.size > MANY_GREYS;
}

/** Shows 100 % colour bars without text. */
export function showBars(path: string, movement: number = STAND_STILL): Promise<void> {
  return NativeNode.with(path, async (node) => {
    await node.setControl(VividControl.TEST_PATTERN, COLOUR_BARS_100);
    await node.setControl(VividControl.OSD, OSD_NONE);
    await node.setControl(VividControl.HORIZONTAL_MOVEMENT, movement);
  });
}

/** Shows the same bars, moving: each frame differs from its neighbours. */
export function showMovingBars(path: string): Promise<void> {
  return showBars(path, MOVE_RIGHT);
}

/** 100 % colour bars: R'G'B' of full range and Y'CbCr of BT.601, limited range, as vivid rounds it. */
const bars = [
  { rgb: [255, 255, 255], yuv: [234, 128, 128] },
  { rgb: [255, 255, 0], yuv: [209, 16, 146] },
  { rgb: [0, 255, 255], yuv: [168, 165, 16] },
  { rgb: [0, 255, 0], yuv: [144, 54, 34] },
  { rgb: [255, 0, 255], yuv: [106, 201, 221] },
  { rgb: [255, 0, 0], yuv: [81, 90, 239] },
  { rgb: [0, 0, 255], yuv: [40, 239, 109] },
  { rgb: [0, 0, 0], yuv: [16, 128, 128] },
] as const;
type Bar = (typeof bars)[number];

interface PlaneLayout {
  /** Bytes of two neighbouring pixels of one bar. */
  readonly pair: (bar: Bar) => readonly number[];
  /** Number of picture lines for each line of the plane. */
  readonly every: number;
}

const luma: PlaneLayout = { pair: ({ yuv: [y] }) => [y, y], every: 1 };
const layouts: Readonly<Record<string, readonly PlaneLayout[]>> = {
  RGB3: [{ pair: ({ rgb }) => [...rgb, ...rgb], every: 1 }],
  BGR3: [{ pair: ({ rgb: [r, g, b] }) => [b, g, r, b, g, r], every: 1 }],
  YUYV: [{ pair: ({ yuv: [y, u, v] }) => [y, u, y, v], every: 1 }],
  NM16: [luma, { pair: ({ yuv: [, u, v] }) => [u, v], every: 1 }],
  NM12: [luma, { pair: ({ yuv: [, u, v] }) => [u, v], every: 2 }],
  YM24: [
    luma,
    { pair: ({ yuv: [, u] }) => [u, u], every: 1 },
    { pair: ({ yuv: [, , v] }) => [v, v], every: 1 },
  ],
};

export class MovingBars {
  /** For each plane: two times its line of bars, the bytes of two pixels, and its number of lines. */
  readonly #planes: readonly { twice: Buffer; pair: number; lines: number }[];

  /** `width`: a multiple of 16. */
  constructor(
    fourcc: string,
    readonly width: number,
    height: number,
  ) {
    this.#planes = layouts[fourcc]!.map(({ pair, every }) => {
      const line = bars.map((bar) => Buffer.alloc((width / 16) * pair(bar).length, Buffer.from(pair(bar))));
      return { twice: Buffer.concat([...line, ...line]), pair: pair(bars[0]).length, lines: height / every };
    });
  }

  /** Returns by how many pixels the bars of a frame are shifted. Throws unless every byte is right. */
  shiftOf(planes: readonly Uint8Array[], what: string): number {
    const { twice, pair } = this.#planes[0]!;
    const first = planes[0]!.subarray(0, twice.length / 2);
    const at = twice.indexOf(first);
    const start = Buffer.from(first).toString('hex', 0, 64);
    assert.ok(at >= 0 && at % pair === 0, `${what} starts with no colour bars: ${start}`);
    assert.equal(planes.length, this.#planes.length);
    for (const [plane, bytes] of planes.entries()) this.#verify(plane, at / pair, bytes, what);
    return (at / pair) * 2;
  }

  #verify(plane: number, pairs: number, bytes: Uint8Array, what: string): void {
    const { twice, pair, lines } = this.#planes[plane]!;
    const line = twice.subarray(pairs * pair, pairs * pair + twice.length / 2);
    const wanted = Buffer.alloc(line.length * lines, line);
    assert.equal(bytes.length, wanted.length, `${what}: bytes of plane ${plane}`);
    if (wanted.equals(bytes)) return;
    const wrong = wanted.findIndex((byte, i) => byte !== bytes[i]);
    assert.fail(`${what}: byte ${wrong} of plane ${plane} is ${bytes[wrong]}, expected ${wanted[wrong]}`);
  }
}
