/**
 * Conversion from Y'CbCr to R'G'B', with the colour fields of the format (videodev2.h: V4L2_MAP_YCBCR_ENC_DEFAULT,
 * V4L2_MAP_QUANTIZATION_DEFAULT).
 */

/** enum v4l2_colorspace: only the values that a default depends on. */
export const Colorspace = { SMPTE240M: 2, REC709: 3, JPEG: 7, SRGB: 8, BT2020: 10, DCI_P3: 12 } as const;
/** enum v4l2_ycbcr_encoding. */
export const YcbcrEncoding = {
  DEFAULT: 0,
  BT601: 1,
  BT709: 2,
  XV601: 3,
  XV709: 4,
  SYCC: 5,
  BT2020: 6,
  BT2020_CONST_LUM: 7,
  SMPTE240M: 8,
} as const;
/** enum v4l2_quantization. */
export const Quantization = { DEFAULT: 0, FULL_RANGE: 1, LIM_RANGE: 2 } as const;

/** The colour fields of a v4l2_pix_format. 0 in `ycbcrEnc` or `quantization`: the default of the colourspace. */
export interface Colour {
  readonly colorspace: number;
  readonly ycbcrEnc: number;
  readonly quantization: number;
}

/** Weights of red and blue in luma; the weight of green is the rest to 1. */
type Weights = readonly [red: number, blue: number];
const BT601: Weights = [0.299, 0.114];
const BT709: Weights = [0.2126, 0.0722];
const BT2020: Weights = [0.2627, 0.0593];
const SMPTE240M: Weights = [0.212, 0.087];

const weights: ReadonlyMap<number, Weights> = new Map([
  [YcbcrEncoding.BT709, BT709],
  [YcbcrEncoding.XV709, BT709],
  [YcbcrEncoding.BT2020, BT2020],
  [YcbcrEncoding.BT2020_CONST_LUM, BT2020],
  [YcbcrEncoding.SMPTE240M, SMPTE240M],
]);

const defaultEncodings: ReadonlyMap<number, number> = new Map([
  [Colorspace.REC709, YcbcrEncoding.BT709],
  [Colorspace.DCI_P3, YcbcrEncoding.BT709],
  [Colorspace.BT2020, YcbcrEncoding.BT2020],
  [Colorspace.SMPTE240M, YcbcrEncoding.SMPTE240M],
]);

/** Tables from a component (0…255) to its share in red, green or blue. The sum is rounded and clamped to 0…255. */
export interface ColourTables {
  readonly luma: Float64Array;
  readonly redOfCr: Float64Array;
  readonly greenOfCb: Float64Array;
  readonly greenOfCr: Float64Array;
  readonly blueOfCb: Float64Array;
}

export function colourTables(colour: Colour): ColourTables {
  const full = isFullRange(colour, Quantization.LIM_RANGE);
  const [red, blue] = weightsOf(colour);
  const green = 1 - red - blue;
  const chroma = (factor: number) => table((value) => (value - 128) * factor * (full ? 1 : 255 / 224));
  return {
    luma: lumaTable(full),
    redOfCr: chroma(2 * (1 - red)),
    greenOfCb: chroma((-2 * blue * (1 - blue)) / green),
    greenOfCr: chroma((-2 * red * (1 - red)) / green),
    blueOfCb: chroma(2 * (1 - blue)),
  };
}

/** Every value of a component, scaled to 0…255. `full`: full range, so the values stay; else 16…235 is the range. */
export function lumaTable(full: boolean): Float64Array {
  return table((value) => (full ? value : ((value - 16) * 255) / 219));
}

/** `otherwise`: the Quantization to use if the format gives none and its colourspace is not JPEG. */
export function isFullRange({ colorspace, quantization }: Colour, otherwise: number): boolean {
  if (quantization !== Quantization.DEFAULT) return quantization === Quantization.FULL_RANGE;
  return colorspace === Colorspace.JPEG || otherwise === Quantization.FULL_RANGE;
}

function weightsOf({ colorspace, ycbcrEnc }: Colour): Weights {
  const encoding = ycbcrEnc === YcbcrEncoding.DEFAULT ? (defaultEncodings.get(colorspace) ?? 0) : ycbcrEnc;
  return weights.get(encoding) ?? BT601;
}

function table(value: (index: number) => number): Float64Array {
  return Float64Array.from({ length: 256 }, (_, index) => value(index));
}
