/** Names of V4L2 numbers, as <linux/videodev2.h> spells them, without the prefix. */
import { BufferType, Capability } from './layout.js';

const HIGH_BIT = 0x80000000;

/** A FOURCC as text. `-BE` follows if bit 31 (big-endian) is set. Hexadecimal if a byte is not a printable letter. */
export function fourcc(code: number): string {
  const letters = String.fromCharCode(
    code & 0xff,
    (code >> 8) & 0xff,
    (code >> 16) & 0xff,
    (code >> 24) & 0x7f,
  );
  if (!/^[\x20-\x7e]{4}$/.test(letters)) return `0x${(code >>> 0).toString(16).padStart(8, '0')}`;
  return letters.trimEnd() + ((code & HIGH_BIT) !== 0 ? '-BE' : '');
}

/** The number of a FOURCC. Throws RangeError unless it is one to four characters, with or without -BE. */
export function fourccCode(name: string): number {
  const match = /^([\x20-\x7e]{1,4}?)(-BE)?$/.exec(name);
  if (!match) throw new RangeError(`${name} is no FOURCC: four characters, such as YUYV or MJPG`);
  const code = Buffer.from(match[1]!.padEnd(4, ' '), 'latin1').readUInt32LE();
  return match[2] ? code + HIGH_BIT : code;
}

/** The names of the bits of `value`, lowest first. Bits without a name are one hexadecimal number. */
function words(value: number, names: Readonly<Record<string, number>>): string[] {
  const found: string[] = [];
  let rest = value >>> 0;
  for (const [name, bit] of Object.entries(names).sort(([, left], [, right]) => left - right)) {
    if ((rest & bit) === 0) continue;
    found.push(name);
    rest = (rest & ~bit) >>> 0;
  }
  if (rest !== 0) found.push(`0x${rest.toString(16)}`);
  return found;
}

/** V4L2_CAP_*. */
export const capabilityWords = (caps: number): string[] => words(caps, Capability);

const bufferTypeNames = new Map<number, string>(
  Object.entries(BufferType).map(([name, number]) => [number, name]),
);

/** V4L2_BUF_TYPE_*. */
export const bufferTypeWord = (type: number): string => bufferTypeNames.get(type) ?? `type ${type}`;

/** enum v4l2_ctrl_type. */
const controlTypes: readonly (readonly [number, string])[] = [
  [1, 'integer'],
  [2, 'boolean'],
  [3, 'menu'],
  [4, 'button'],
  [5, 'integer64'],
  [6, 'class'],
  [7, 'string'],
  [8, 'bitmask'],
  [9, 'integer menu'],
  [0x100, 'u8'],
  [0x101, 'u16'],
  [0x102, 'u32'],
  [0x106, 'area'],
  [0x107, 'rectangle'],
];
const controlTypeNames = new Map(controlTypes);

/** The name of a control type (V4L2_CTRL_TYPE_*). */
export const controlTypeWord = (type: number): string =>
  controlTypeNames.get(type) ?? `compound 0x${type.toString(16)}`;
