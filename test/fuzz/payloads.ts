/**
 * Payloads of ioctls as a driver would send them, made from what is known, so that they are accepted often even after
 * random changes.
 */
import { join, record, u32, u64, zeros } from '../device/support/bytes.js';
import { sg } from '../device/support/v4l2.js';
import type { Knowledge, KnownSession } from './knowledge.js';
import type { Random } from './random.js';

export interface Ground {
  readonly random: Random;
  readonly knowledge: Knowledge;
  /** Buffer types of the node. */
  readonly types: readonly number[];
  /** Guest memory that contains no ring. SG lists point into it. */
  readonly pages: readonly { readonly start: number; readonly length: number }[];
}

/** Never pressed, because it unplugs vivid until the module is loaded again. */
const DISCONNECT = 0x00f0_f041;
const PAGE = 4096;
const { UUID, PLANE, CONTROL } = { UUID: 16, PLANE: 64, CONTROL: 20 } as const;
const NEXT_FLAGS = [0, 0, 0, 0x4000_0000, 0x8000_0000, 0xc000_0000];
const formats = ['YUYV', 'NV12', 'NM12', 'MJPG', 'FWHT', 'SFWH', 'RGB3', 'H264', 'YU12'];

/** Makes the payload of an ioctl, by ioctl number. Other payloads come from `answers` or are zeros. */
type Maker = (ground: Ground, session: KnownSession) => Buffer;

export const makers: Readonly<Record<number, Maker>> = {
  2: ({ random, types }) => record(64, { 0: random.below(12), 4: random.pick(types) }),
  4: ({ random, types }) => record(208, { 0: random.pick(types) }),
  5: format,
  64: format,
  8: (ground) => u32(...allocation(ground), 0, 0),
  9: (ground, session) => buffer(ground, session, false),
  15: (ground, session) => buffer(ground, session, true),
  93: (ground, session) => buffer(ground, session, true),
  16: ({ random, types }) =>
    record(64, {
      0: random.pick(types),
      4: random.below(4),
      8: random.below(2),
      12: random.pick([0, 2, 0x8_0002]),
    }),
  18: (ground, session) => u32(queueType(ground, session)),
  19: (ground, session) => u32(queueType(ground, session)),
  21: ({ random, types }) => record(204, { 0: random.pick(types) }),
  22: ({ random, types }) => record(204, { 0: random.pick(types), 12: 1, 16: random.pick([1, 5, 30, 60]) }),
  27: (ground) => u32(controlId(ground), 0),
  28: (ground) => u32(controlId(ground), ground.random.edge()),
  36: (ground) => record(68, { 0: queriedId(ground) }),
  37: (ground) => record(44, { 0: controlId(ground), 4: ground.random.below(8) }),
  40: edid,
  41: edid,
  71: controls,
  72: controls,
  73: controls,
  77: (ground) => record(40, { 0: ground.random.below(5), 4: ground.random.below(2) }),
  96: (ground) => record(72, { 0: ground.random.below(5), 4: ground.random.below(2) }),
  90: ({ random, ...ground }) =>
    join(
      u32(random.between(1, 6), random.pick([0, controlId({ random, ...ground })]), random.below(4)),
      zeros(20),
    ),
  91: ({ random, ...ground }) =>
    join(u32(random.between(0, 6), random.pick([0, controlId({ random, ...ground })]), 0), zeros(20)),
  92: (ground) => {
    const [count, type, memory] = allocation(ground);
    const known = ground.knowledge.answers.get(4)?.subarray(0, 208) ?? record(208, { 0: type });
    return record(256, { 4: count, 8: memory, 16: known });
  },
  94: selection,
  95: selection,
  103: (ground) => record(232, { 0: queriedId(ground) }),
  104: ({ random, types }) => record(64, { 0: random.below(6), 4: random.below(5), 8: random.pick(types) }),
  193: handle,
  194: handle,
  195: handle,
};

/** An SG list that covers `length` bytes of guest memory; rarely one that does not. */
export function sgList({ random, pages }: Ground, length: number): Buffer {
  const entries: Buffer[] = [];
  for (let left = length; left > 0 && entries.length < 300; ) {
    const { start, length: room } = random.pick(pages);
    const size = Math.min(left, PAGE * random.between(1, random.pick([1, 4, 64])), room);
    const at = start + PAGE * random.below(Math.max(1, Math.floor((room - size) / PAGE)));
    const odd = random.chance(0.03) ? random.below(PAGE) : 0;
    entries.push(random.chance(0.005) ? sg(random.edge64(), random.edge()) : sg(at + odd, size));
    left -= size;
  }
  if (random.chance(0.01)) entries.pop();
  return join(...entries);
}

function controlId({ random, knowledge }: Ground): number {
  const id = random.pick(knowledge.controls);
  return id === DISCONNECT ? id + 1 : id;
}

function queriedId(ground: Ground): number {
  return (controlId(ground) | ground.random.pick(NEXT_FLAGS)) >>> 0;
}

/** Mostly a buffer type that the session has a queue of. */
function queueType({ random, types }: Ground, { queues }: KnownSession): number {
  return queues.size > 0 && random.chance(0.9) ? random.pick([...queues.keys()]) : random.pick(types);
}

/** count, type, memory. */
function allocation({ random, types }: Ground): [number, number, number] {
  return [random.pick([0, 1, 2, 3, 4, 4, 8]), random.pick(types), random.pick([1, 1, 1, 2, 2, 4])];
}

function format({ random, types, knowledge }: Ground): Buffer {
  const fourcc = Buffer.from(random.pick(formats), 'latin1');
  const sizes = { 8: random.pick([160, 320, 640]), 12: random.pick([90, 180, 360]) };
  const known = knowledge.answers.get(4)?.subarray(0, 208);
  if (known && random.chance(0.5)) return Buffer.from(known);
  return record(208, { 0: random.pick(types), ...sizes, 16: fourcc });
}

function selection({ random, types }: Ground): Buffer {
  const rectangle = u32(0, 0, random.pick([160, 320, 640]), random.pick([90, 180, 360]));
  return record(64, { 0: random.pick(types), 4: random.pick([0, 1, 2, 0x100, 0x101, 0x102]), 12: rectangle });
}

function handle({ random }: Ground, { handles }: KnownSession): Buffer {
  return u32(handles.length > 0 && random.chance(0.9) ? random.pick(handles) : random.below(40));
}

/** struct v4l2_buffer with its planes, and what its memory type adds. */
function buffer(ground: Ground, session: KnownSession, isQueued: boolean): Buffer {
  const { random, knowledge } = ground;
  const type = queueType(ground, session);
  const { memory = 1, count = 4, planes = 1, length = PAGE } = session.queues.get(type) ?? {};
  const isMultiplanar = type === 9 || type === 10;
  const isOutput = type === 2 || type === 10;
  const used = isOutput ? Math.min(length, random.pick([length, 1, 1000])) : 0;
  // Descriptors and requests that a guest may guess: foreign descriptors are open at these numbers.
  const guess = random.between(3, 40);
  const isInRequest = session.handles.length > 0 && random.chance(0.5);
  const struct = record(88, {
    0: random.below(count),
    4: type,
    8: used,
    12: isInRequest ? 0x80_0000 : random.chance(0.02) ? random.edge() : 0,
    60: memory,
    64: u64(memory === 1 ? 0 : guess),
    72: isMultiplanar ? (isQueued ? planes : 8) : length,
    80: isInRequest ? random.pick(session.handles) : guess,
  });
  const records = Array.from({ length: isMultiplanar ? struct.readUInt32LE(72) : 0 }, () =>
    record(PLANE, { 0: used, 4: length, 8: u64(guess) }),
  );
  const each = () => {
    if (memory === 4 && isQueued)
      return knowledge.uuids.length > 0 ? random.pick(knowledge.uuids) : random.bytes(UUID);
    return memory === 2 && isQueued ? sgList(ground, length) : zeros(0);
  };
  return join(struct, ...records, ...Array.from({ length: planes }, each));
}

/** struct v4l2_ext_controls, its array, and an SG list for each payload. */
function controls(ground: Ground): Buffer {
  const { random } = ground;
  const count = random.between(0, 4);
  const sizes = Array.from({ length: count }, () => random.pick([0, 0, 4, 16, 100, 120, 256, 5000]));
  const which = random.pick([0, 0, 0x0098_0000, 0x0f00_0000, 0x0f01_0000, 0x0f02_0000]);
  const head = join(
    u32(which, random.chance(0.02) ? random.edge() : count, 0, random.between(3, 40)),
    zeros(16),
  );
  const one = (size: number) => join(u32(controlId(ground), size, 0), u64(random.edge64()));
  const lists = sizes.filter((size) => size > 0).map((size) => sgList(ground, size));
  return join(head, ...sizes.map(one), ...lists).subarray(0, 32 + CONTROL * count + 8000);
}

function edid({ random }: Ground): Buffer {
  const blocks = random.below(4);
  return join(record(40, { 4: random.below(2), 8: blocks }), random.bytes(128 * blocks));
}
