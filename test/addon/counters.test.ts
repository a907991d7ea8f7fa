/** The counters of frames and commands, against numbers that are worked out by hand. */
import assert from 'node:assert/strict';
import { native } from '../../src/native.js';

const MONOTONIC = 0x2000;
const COPIED = 0x4000;
const ERROR = 0x40;
const VIDEO_CAPTURE = 1;
const VIDEO_CAPTURE_MPLANE = 9;
const BUCKETS = 88;

interface Frame {
  type?: number;
  bytes?: number;
  flags?: number;
  sequence?: number;
  /** Microseconds of CLOCK_MONOTONIC. */
  at?: number;
}

/** struct v4l2_buffer, by the offsets of videodev2.h. */
function record({ type = VIDEO_CAPTURE, bytes = 0, flags = 0, sequence = 0, at = 0 }: Frame): Buffer {
  const raw = Buffer.alloc(88);
  raw.writeUInt32LE(type, 4);
  raw.writeUInt32LE(bytes, 8);
  raw.writeUInt32LE(flags, 12);
  raw.writeBigInt64LE(BigInt(Math.floor(at / 1e6)), 24);
  raw.writeBigInt64LE(BigInt(Math.floor(at % 1e6)), 32);
  raw.writeUInt32LE(sequence >>> 0, 56);
  return raw;
}

const now = () => Number(process.hrtime.bigint() / 1000n);
const counted = (frames: readonly Frame[]) => {
  const counters = new native.FrameCounters();
  for (const frame of frames) counters.count(record(frame));
  const [count, bytes, lost, damaged, queued, sum, ...buckets] = counters.read();
  return { count, bytes, lost, damaged, queued, sum, buckets };
};
const lostOf = (...sequences: number[]) => counted(sequences.map((sequence) => ({ sequence }))).lost;

describe('addon counters', () => {
  it('count frames and their bytes', () => {
    const { count, bytes, lost, damaged, queued, sum, buckets } = counted([
      { bytes: 100 },
      { bytes: 28, sequence: 1 },
    ]);
    assert.deepEqual([count, bytes, lost, damaged, queued, sum], [2, 128, 0, 0, 0, 0]);
    assert.deepEqual(buckets, Array(BUCKETS).fill(0));
  });

  it('count the bytes of planes if the type has them, and not those of the buffer', () => {
    const counters = new native.FrameCounters();
    const planes = Buffer.alloc(128);
    planes.writeUInt32LE(1000, 0);
    planes.writeUInt32LE(500, 64);
    counters.count(record({ type: VIDEO_CAPTURE_MPLANE, bytes: 7 }), planes);
    assert.deepEqual([...counters.read().slice(0, 2)], [1, 1500]);
  });

  it('count a gap of the numbers as lost frames, wherever it begins', () => {
    assert.equal(lostOf(0, 1, 2, 3), 0);
    assert.equal(lostOf(0, 1, 5), 3);
    assert.equal(lostOf(7), 0, 'nobody knows what was before the first');
    assert.equal(lostOf(0xffff_fffe, 0xffff_ffff, 0, 2), 1, 'the numbers wrap around');
    assert.equal(lostOf(4, 4, 5, 5, 6), 0, 'two fields have one number');
    assert.equal(lostOf(9, 10, 0, 1), 0, 'the driver has begun anew');
    assert.equal(lostOf(9, 10, 0, 3), 2);
  });

  it('expect any number after a restart', () => {
    const counters = new native.FrameCounters();
    counters.count(record({ sequence: 3 }));
    counters.restart();
    counters.count(record({ sequence: 40 }));
    counters.count(record({ sequence: 42 }));
    assert.equal(counters.read()[2], 1);
  });

  it('measure from a monotonic timestamp only, and not of a damaged frame', () => {
    const at = now() - 50_000;
    const { sum, buckets, damaged } = counted([
      { flags: MONOTONIC, at },
      { flags: COPIED, at },
      { flags: 0, at },
      { flags: MONOTONIC | ERROR, at },
    ]);
    assert.equal(damaged, 1);
    assert.equal(
      buckets.reduce((total, number) => total + number, 0),
      1,
    );
    assert.ok(sum! >= 50_000 && sum! < 5_000_000, `${sum}`);
    const bounds = native.histogramBounds();
    const bucket = buckets.indexOf(1);
    assert.ok(bounds[bucket - 1]! <= sum! && sum! < bounds[bucket]!, 'in its own bucket');
  });

  it('put a time of the future into the first bucket, and one beyond all bounds into the last', () => {
    const { buckets } = counted([
      { flags: MONOTONIC, at: now() + 60_000_000 },
      { flags: MONOTONIC, at: 0 },
    ]);
    assert.equal(buckets[0], 1);
    assert.equal(buckets[BUCKETS - 1], 1);
  });

  it('put each time into the bucket whose bounds it is between', () => {
    const bounds = native.histogramBounds();
    for (const us of [0, 1, 3, 4, 7, 8, 9, 10, 15, 16, 1000, 65_535, 65_536, 8_388_607, 8_388_608, 2 ** 40]) {
      const table = new native.CommandTable(new Uint8Array(5120));
      table.count(5, 0, us);
      const [kind, errors, last, sum, ...buckets] = table.counters()[0]!;
      assert.deepEqual([kind, errors, last, sum], [5, 0, 0, us]);
      const expected = bounds.findIndex((bound) => us < bound);
      assert.equal(buckets.indexOf(1), expected, `${us}`);
    }
  });

  it('count commands by kind, with their errors and the last of them', () => {
    const table = new native.CommandTable(new Uint8Array(5120));
    assert.deepEqual(table.counters(), []);
    assert.equal(table.lastFailure(), undefined);
    table.count(15, 0, 20);
    table.count(15, 22, 30);
    table.count(15, 16, 30);
    table.count(257, 0, 5);
    const rows = table.counters().map((row) => [...row.slice(0, 4)]);
    assert.deepEqual(rows, [
      [15, 2, 16, 80],
      [257, 0, 0, 5],
    ]);
    const [kind, errno, age] = table.lastFailure()!;
    assert.deepEqual([kind, errno], [15, 16]);
    assert.ok(age >= 0 && age < 5000);
  });

  it('refuse what is no frame, no kind and no time', () => {
    const counters = new native.FrameCounters();
    for (const wrong of [undefined, 1, Buffer.alloc(87), Buffer.alloc(89), {}])
      assert.throws(() => counters.count(wrong as never), TypeError);
    assert.throws(() => counters.count(Buffer.alloc(88), Buffer.alloc(63)), TypeError);
    const table = new native.CommandTable(new Uint8Array(5120));
    for (const wrong of [
      [-1, 0, 0],
      [264, 0, 0],
      [1, -1, 0],
      [1, 0, -1],
      [1, 0, 0.5],
      [1, 0, Number.NaN],
      [{}, 0, 0],
    ])
      assert.throws(() => table.count(...(wrong as [number, number, number])), TypeError, String(wrong));
    assert.deepEqual(table.counters(), []);
  });
});
