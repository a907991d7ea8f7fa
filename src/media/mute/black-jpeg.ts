/**
 * A black picture as baseline JPEG (ITU-T T.81). It has 4:2:2 as most webcams send it. Its Huffman codes are those of the
 * typical tables (annex K.3), so it is right for a decoder that reads the tables and for one that assumes them.
 */

const PIXELS = { width: 16, height: 8 } as const;
/** A quantisation step for each coefficient. */
const STEP = 16;

/** The used beginning of a typical table: how many codes have 1, 2, … bits, and their symbols. */
const tables = [
  { id: 0x00, counts: [0, 1, 5, 1, 1], symbols: [0, 1, 2, 3, 4, 5, 6, 7] },
  { id: 0x10, counts: [0, 2, 1, 1], symbols: [0x01, 0x02, 0x03, 0x00] },
  { id: 0x01, counts: [0, 1], symbols: [0] },
  { id: 0x11, counts: [0, 1], symbols: [0] },
] as const;

// The bits of blocks in which only the mean differs from 0. Each ends with the code for "no more coefficients".
/** -1024 / STEP = -64 has 7 bits: code 11110, then -64 + 127. */
const FIRST_LUMA = '11110' + '0111111' + '1010';
const SAME_LUMA = '00' + '1010';
const SAME_CHROMA = '00' + '00';

/** The file, for pictures of up to 65535 pixels a side. */
export function blackJpeg(width: number, height: number): Buffer {
  return Buffer.concat([
    Buffer.from([0xff, 0xd8]),
    segment(0xdb, [0, ...Array<number>(64).fill(STEP)]),
    segment(0xc0, [8, ...u16(height), ...u16(width), 3, 1, 0x21, 0, 2, 0x11, 0, 3, 0x11, 0]),
    ...tables.map(({ id, counts, symbols }) =>
      segment(0xc4, [id, ...Array.from({ length: 16 }, (_, n) => counts[n] ?? 0), ...symbols]),
    ),
    segment(0xda, [3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0]),
    scan(Math.ceil(width / PIXELS.width) * Math.ceil(height / PIXELS.height)),
    Buffer.from([0xff, 0xd9]),
  ]);
}

const u16 = (value: number): number[] => [value >> 8, value & 0xff];
const segment = (marker: number, body: readonly number[]): Buffer =>
  Buffer.from([0xff, marker, ...u16(body.length + 2), ...body]);

/** `units`: how many times two blocks of luma and one of each chroma. The last byte is filled with ones. */
function scan(units: number): Buffer {
  const rest = SAME_LUMA + SAME_CHROMA + SAME_CHROMA;
  const bits = FIRST_LUMA + rest + (SAME_LUMA + rest).repeat(units - 1);
  const bytes: number[] = [];
  for (let at = 0; at < bits.length; at += 8) {
    const byte = Number.parseInt(bits.slice(at, at + 8).padEnd(8, '1'), 2);
    bytes.push(...(byte === 0xff ? [byte, 0] : [byte]));
  }
  return Buffer.from(bytes);
}
