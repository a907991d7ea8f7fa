/** The bytes of vivid's 100 % colour bars, computed from the definitions of the formats and not taken from vivid. */

/** White, yellow, cyan, green, magenta, red, blue, black: each component is on or off. */
const BARS = [0b111, 0b110, 0b011, 0b010, 0b101, 0b100, 0b001, 0b000].map((bits) => ({
  red: (bits >> 2) & 1,
  green: (bits >> 1) & 1,
  blue: bits & 1,
}));
type Colour = (typeof BARS)[number];

export interface PatternFormat {
  readonly fourcc: string;
  /** Bytes of two neighbouring pixels of that colour. */
  readonly pair: (colour: Colour) => readonly number[];
}

/** 24 bits, full range. */
export const rgb3: PatternFormat = {
  fourcc: 'RGB3',
  pair: ({ red, green, blue }) => [red, green, blue, red, green, blue].map((part) => 255 * part),
};

/** vivid converts in fixed point: a component of 255 is 255/256 of the range, and the result is rounded down. */
const FULL = 255 / 256;

/** ITU-R BT.601, limited range: what V4L2 prescribes for sRGB in YCbCr. */
export const yuyv: PatternFormat = {
  fourcc: 'YUYV',
  pair: ({ red, green, blue }) => {
    const luma = 0.299 * red + 0.587 * green + 0.114 * blue;
    const y = Math.floor(16 + 219 * FULL * luma);
    const cb = Math.floor(128 + (224 * FULL * (blue - luma)) / 1.772);
    const cr = Math.floor(128 + (224 * FULL * (red - luma)) / 1.402);
    return [y, cb, y, cr];
  },
};

/** The whole frame; `width` is a multiple of 16, lines have no padding. */
export function colourBars({ pair }: PatternFormat, width: number, height: number): Buffer {
  const pairs = width / 2 / BARS.length;
  const line = BARS.flatMap((colour) => Array.from({ length: pairs }, () => pair(colour)).flat());
  return Buffer.concat(Array.from({ length: height }, () => Buffer.from(line)));
}

/** Text that says where two frames first differ. */
export function difference(seen: Buffer, expected: Buffer): string {
  const at = expected.findIndex((byte, i) => byte !== seen[i]);
  const part = (bytes: Buffer) => bytes.subarray(at, at + 8).toString('hex');
  return `${seen.length} and ${expected.length} bytes, at ${at} ${part(seen)} instead of ${part(expected)}`;
}
