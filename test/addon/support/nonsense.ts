/**
 * Random values for the addon, most of them nearly right. A failure names its seed, and VMB_SEED sets it.
 */
import { type LinearMapping, native } from '../../../src/native.js';
import { edidRecord } from './records.js';

export const SEED = Number(process.env.VMB_SEED ?? Date.now() % 1_000_000);

/** A random generator, mulberry32. It returns whole numbers below `below`. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

export const random = randomFrom(SEED);
export const pick = <T>(values: readonly T[]): T => values[random(values.length)]!;

export const memory = native.memoryFile('nonsense', 1 << 20);
export const region = new native.Region(memory, 0, 1 << 20);
const closedRegion = new native.Region(memory, 0, 4096);
closedRegion.close();
export const linear = native.linearMapping([{ region, offset: 4096, length: 65536 }]) as LinearMapping;
const closedLinear = native.linearMapping([{ region, offset: 0, length: 4096 }]) as LinearMapping;
closedLinear.close();
const detached = new Uint8Array(88);
structuredClone(detached.buffer, { transfer: [detached.buffer] });

const kinds = [
  'ioctl',
  'buffer',
  'dequeueBuffer',
  'dequeueEvent',
  'controls',
  'edid',
  'allocateRequest',
  'queueRequest',
  'reinitRequest',
  'closeRequest',
  'map',
  'join',
  'watch',
  'poll',
  'nonsense',
];
const sizes = [0, 1, 4, 8, 20, 32, 40, 64, 88, 104, 128, 136, 204, 208, 256, 512, 2072, 20480];

function bytes(): Uint8Array {
  const array = new Uint8Array(pick(sizes));
  for (let i = 0; i < Math.min(array.length, 96); i++) {
    if (random(4) === 0) array[i] = pick([0, 1, 2, 3, 4, 8, 9, 10, 255]);
  }
  return array;
}

/** A v4l2_buffer that is nearly right, so that more calls pass the first checks. */
function record(): Uint8Array {
  const array = new Uint8Array(88);
  array[4] = pick([1, 1, 2, 9, 9, 10, 3]);
  array[60] = pick([1, 2, 2, 4]);
  array[72] = random(10);
  return array;
}

/** Packed pieces for the call `join` that are nearly right. */
function packedPieces(): Uint8Array {
  const array = new Uint32Array(4 * random(5));
  for (let at = 0; at < array.length; at += 4) {
    array[at] = 4096 * random(18);
    array[at + 2] = pick([4096, 4096, 8192, 0, 100]);
    array[at + 3] = pick([0, 0, 0, 1, 9]);
  }
  return new Uint8Array(array.buffer, 0, Math.max(0, array.byteLength - pick([0, 0, 0, 1])));
}

function controls(count: number): Uint8Array {
  const array = new Uint8Array(32);
  array[4] = count;
  return array;
}

const scalars = [
  undefined,
  null,
  true,
  0,
  1,
  -1,
  0.5,
  15,
  71,
  4096,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  Number.NaN,
  '',
  'x',
  1n,
];

export function anything(depth = 0): unknown {
  switch (random(depth > 2 ? 3 : 9)) {
    case 0:
      return pick(scalars);
    case 1:
      return bytes();
    case 2:
      return pick([
        region,
        closedRegion,
        linear,
        closedLinear,
        detached,
        Symbol.iterator,
        new Float64Array(11),
        new SharedArrayBuffer(88),
      ]);
    case 3:
      return Array.from({ length: random(4) }, () => anything(depth + 1));
    case 4:
      return { region: anything(depth + 1), offset: anything(depth + 1), length: anything(depth + 1) };
    case 5:
      return { region, offset: random(1 << 20), length: random(1 << 20) };
    case 6:
      return new Proxy({}, {});
    case 7:
      return random(300);
    default:
      return () => anything(depth + 1);
  }
}

export function call(): object {
  const count = random(4);
  const fields: Record<string, () => unknown> = {
    nr: () => pick([9, 15, 93, 71, 72, 73, 40, 41, random(110)]),
    payload: () => bytes(),
    buffer: () => record(),
    planes: () => pick([undefined, new Uint8Array(64 * random(10))]),
    memory: () =>
      Array.from({ length: random(4) }, () => ({
        region: pick([region, region, linear, closedLinear]),
        offset: random(1 << 20),
        length: random(1 << 16),
      })),
    descriptors: () => Array.from({ length: random(4) }, () => pick([memory, memory, -1, 1_000_000])),
    media: () => pick([memory, 0, -1, 1_000_000]),
    request: () => pick([undefined, undefined, memory, -1, 1_000_000]),
    edid: () => edidRecord(pick([count, random(300), 2 ** 32 - 1]), random(3)),
    blocks: () => new Uint8Array(128 * count),
    event: () => new Uint8Array(136),
    controls: () => controls(count),
    array: () => new Uint8Array(20 * count),
    payloads: () => Array<null>(count).fill(null),
    offset: () => random(1 << 16) & ~pick([0, 4095]),
    length: () => random(1 << 16),
    events: () => random(32),
    regions: () => Array.from({ length: random(3) }, () => pick([region, region, closedRegion, linear])),
    pieces: () => packedPieces(),
  };
  const result: Record<string, unknown> = { kind: random(50) === 0 ? anything() : pick(kinds) };
  for (const [name, value] of Object.entries(fields)) {
    if (random(12) === 0) result[name] = anything();
    else if (random(20) !== 0) result[name] = value();
  }
  return result;
}
