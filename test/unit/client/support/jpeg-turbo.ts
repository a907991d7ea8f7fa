/** libjpeg-turbo as WebAssembly: an encoder and a decoder that are not those of src. And ways to damage its frames. */
import { createRequire } from 'node:module';

interface FrameInfo {
  width: number;
  height: number;
  bitsPerSample: number;
  componentCount: number;
  isSigned: boolean;
}
interface Encoder {
  getDecodedBuffer(info: FrameInfo): Uint8Array;
  setQuality(quality: number): void;
  setSubSampling(sampling: number): void;
  setProgressive(progressive: boolean): void;
  encode(): void;
  getEncodedBuffer(): Uint8Array;
  delete(): void;
}
interface Decoder {
  getEncodedBuffer(length: number): Uint8Array;
  decode(): void;
  getFrameInfo(): FrameInfo;
  getDecodedBuffer(): Uint8Array;
  delete(): void;
}
interface Library {
  JPEGEncoder: new () => Encoder;
  JPEGDecoder: new () => Decoder;
}

const load = createRequire(import.meta.url)('@cornerstonejs/codec-libjpeg-turbo-8bit/wasmjs');
const library: Library = await load({ print: () => undefined, printErr: () => undefined });

/** enum TJSAMP of turbojpeg.h. */
const samplings = { '4:4:4': 0, '4:2:2': 1, '4:2:0': 2, grey: 3 } as const;
export type Sampling = keyof typeof samplings;
export const everySampling = Object.keys(samplings) as Sampling[];

/** `data`: R, G, B of each pixel. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** A picture with edges, slopes and noise. `grey`: with the same value in all three components. */
export function scene(width: number, height: number, grey = false): Pixels {
  const data = new Uint8Array(width * height * 3);
  let state = 1;
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at += 3) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      const noise = (state >>> 28) - 8;
      const red = 120 + 100 * Math.sin(x / 11 + y / 29) + noise;
      const green = (((x >> 4) ^ (y >> 4)) & 1 ? 190 : 60) + noise;
      const blue = 40 + (180 * x) / width + noise;
      data.set(grey ? [green, green, green] : [red, green, blue], at);
    }
  return { width, height, data };
}

/** A JPEG with JFIF, the typical Huffman tables and no restart intervals. */
export function encode({ width, height, data }: Pixels, sampling: Sampling, quality = 85): Buffer {
  const grey = sampling === 'grey';
  const encoder = new library.JPEGEncoder();
  try {
    const componentCount = grey ? 1 : 3;
    const samples = encoder.getDecodedBuffer({
      width,
      height,
      bitsPerSample: 8,
      componentCount,
      isSigned: false,
    });
    if (grey) for (let pixel = 0; pixel < width * height; pixel++) samples[pixel] = data[pixel * 3]!;
    else samples.set(data);
    encoder.setProgressive(false);
    encoder.setQuality(quality);
    encoder.setSubSampling(samplings[sampling]);
    encoder.encode();
    return Buffer.from(encoder.getEncodedBuffer());
  } finally {
    encoder.delete();
  }
}

/** The pixels of a JPEG without any defect. */
export function decode(jpeg: Uint8Array): Pixels {
  const decoder = new library.JPEGDecoder();
  try {
    decoder.getEncodedBuffer(jpeg.length).set(jpeg);
    decoder.decode();
    const { width, height, componentCount } = decoder.getFrameInfo();
    const samples = decoder.getDecodedBuffer();
    if (componentCount === 3) return { width, height, data: Uint8Array.from(samples) };
    const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => samples[Math.floor(i / 3)]!);
    return { width, height, data };
  } finally {
    decoder.delete();
  }
}

/** Offset and length of every segment up to the scan's, whose length is that of its header. */
function segments(jpeg: Buffer): { marker: number; at: number; length: number }[] {
  const found: { marker: number; at: number; length: number }[] = [];
  for (let at = 2; found.at(-1)?.marker !== 0xda; at += found.at(-1)!.length)
    found.push({ marker: jpeg[at + 1]!, at, length: 2 + jpeg.readUInt16BE(at + 2) });
  return found;
}

/** The JPEG without its DHT segments, as UVC cameras send it. */
export function withoutTables(jpeg: Buffer): Buffer {
  const all = segments(jpeg);
  const kept = all.filter(({ marker }) => marker !== 0xc4);
  const pieces = kept.map(({ at, length }) => jpeg.subarray(at, at + length));
  const scan = all.at(-1)!;
  return Buffer.concat([jpeg.subarray(0, 2), ...pieces, jpeg.subarray(scan.at + scan.length)]);
}

/** The JPEG with another segment behind SOI. `marker`: the second byte of the marker. */
export function withSegment(jpeg: Buffer, marker: number, body: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, 0, body.length + 2]);
  return Buffer.concat([jpeg.subarray(0, 2), head, body, jpeg.subarray(2)]);
}

/**
 * A JPEG whose components are R, G and B: the Adobe segment says that there is no transform. The encoder's Y, Cb and
 * Cr are then meant as R, G and B.
 */
export function adobeRgb(jpeg: Buffer): Buffer {
  const jfif = segments(jpeg).find(({ marker }) => marker === 0xe0)!;
  const bare = Buffer.concat([jpeg.subarray(0, jfif.at), jpeg.subarray(jfif.at + jfif.length)]);
  return withSegment(bare, 0xee, Buffer.from('Adobe\0\x64\0\0\0\0\0', 'latin1'));
}

/**
 * A JPEG of 4:4:4 or 4:2:2 with a restart interval for each 8 lines. Each interval is the data of a JPEG of its own 8
 * lines: there the encoder begins without prediction and ends at a byte, as behind a restart marker. `edit`: changes the
 * pieces behind the header, which are in turn the data of an interval and the marker behind it.
 */
export function withRestarts(
  { width, height, data }: Pixels,
  sampling: Sampling,
  edit: (pieces: Buffer[]) => void = () => undefined,
): Buffer {
  const count = height / 8;
  const strips = Array.from({ length: count }, (_, index) => {
    const lines = data.subarray(index * 8 * width * 3, (index + 1) * 8 * width * 3);
    return encode({ width, height: 8, data: lines }, sampling);
  });
  const pieces = strips.flatMap((jpeg, index) => {
    const scan = segments(jpeg).at(-1)!;
    const marker = index === count - 1 ? 0xd9 : 0xd0 + (index % 8);
    return [jpeg.subarray(scan.at + scan.length, -2), Buffer.from([0xff, marker])];
  });
  edit(pieces);
  return Buffer.concat([restartHeader(strips[0]!, width, height, sampling), ...pieces]);
}

/** Everything before the data of the first interval, with DRI and the height of the whole picture. */
function restartHeader(jpeg: Buffer, width: number, height: number, sampling: Sampling): Buffer {
  const all = segments(jpeg);
  const scan = all.at(-1)!;
  const header = Buffer.from(jpeg.subarray(0, scan.at + scan.length));
  header.writeUInt16BE(height, all.find(({ marker }) => marker === 0xc0)!.at + 5);
  const units = Buffer.alloc(2);
  units.writeUInt16BE(Math.ceil(width / (sampling === '4:4:4' ? 8 : 16)));
  return withSegment(header, 0xdd, units);
}
