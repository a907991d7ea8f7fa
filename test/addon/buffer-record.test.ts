/** Translation of the records of a buffer, field by field. Offsets are those of struct v4l2_buffer and v4l2_plane. */
import assert from 'node:assert/strict';
import { toGuest, toHost } from '../../src/v4l2/record-translation.js';

const [MAPPED, QUEUED, DONE, IN_REQUEST, REQUEST_FD] = [0x1, 0x2, 0x4, 0x80, 0x80_0000];
const NOTHING = new Uint8Array(0);
/** Bytes that are never changed: index, type, bytesused; field, timestamp, timecode, sequence. */
const KEPT = [
  [0, 12],
  [16, 20],
  [24, 60],
] as const;
const POINTER = Buffer.from('8877665544332211', 'hex');

describe('addon: records of a buffer', () => {
  const record = () => Buffer.alloc(88, 0xa5);
  const kept = (from: Buffer) => Buffer.concat(KEPT.map(([start, end]) => from.subarray(start, end)));

  it('to the host: flags that are the guest’s; no pointer, no descriptor, no reserved field, no padding', () => {
    const given = record();
    toHost(given, NOTHING, { memory: 2, guestFlags: 0x21, lengths: [4096] });
    assert.deepEqual(kept(given), kept(record()));
    assert.equal(given.readUInt32LE(12), 0xa5a5_a5a5 & 0x21);
    assert.deepEqual([given.readUInt32LE(60), given.readUInt32LE(72)], [2, 4096]);
    for (const [start, end] of [
      [20, 24],
      [64, 72],
      [76, 88],
    ] as const)
      assert.ok(
        given.subarray(start, end).every((byte) => byte === 0),
        `bytes ${start} to ${end}`,
      );
  });

  it('to the host: planes have their lengths, bytesused and data_offset, and nothing else', () => {
    const [given, planes] = [record(), Buffer.alloc(128, 0xa5)];
    toHost(given, planes, { memory: 1, guestFlags: 0, lengths: [100, 200] });
    assert.equal(given.readUInt32LE(72), 2, 'number of planes');
    for (const [at, length] of [
      [0, 100],
      [64, 200],
    ] as const) {
      const words = Array.from({ length: 16 }, (_, n) => planes.readUInt32LE(at + 4 * n));
      assert.deepEqual(words, [0xa5a5_a5a5, length, 0, 0, 0xa5a5_a5a5, ...Array(11).fill(0)]);
    }
  });

  const guest = { memory: 3, shownFlags: 0, addedFlags: 0, requestFd: 0, dequeued: false, pointer: NOTHING };

  it('to the guest: what only the host may know is hidden, for a program and in an event', () => {
    const flags = MAPPED | QUEUED | DONE | IN_REQUEST | REQUEST_FD | 0x8;
    for (const [own, seen] of [
      [guest, QUEUED | DONE | 0x8],
      [{ ...guest, addedFlags: MAPPED }, MAPPED | QUEUED | DONE | 0x8],
      [{ ...guest, shownFlags: IN_REQUEST, requestFd: 7 }, QUEUED | DONE | IN_REQUEST | 0x8],
      [{ ...guest, dequeued: true, shownFlags: QUEUED | MAPPED }, 0x8],
    ] as const) {
      const given = record();
      given.writeUInt32LE(flags, 12);
      toGuest(given, NOTHING, { ...own, planes: [{ m: POINTER, length: 9 }] });
      assert.equal(given.readUInt32LE(12), seen);
      assert.deepEqual(kept(given), kept(record()));
      assert.deepEqual([given.readUInt32LE(60), given.readUInt32LE(72)], [3, 9]);
      assert.deepEqual(given.subarray(64, 72), POINTER);
      assert.deepEqual([given.readUInt32LE(76), given.readInt32LE(80)], [0, own.requestFd]);
    }
  });

  it('to the guest: the pointer to the planes is its own, and m and length of each plane', () => {
    const [given, planes] = [record(), Buffer.alloc(128, 0xa5)];
    const own = [
      { m: POINTER, length: 5 },
      { m: NOTHING, length: 6 },
    ];
    toGuest(given, planes, { ...guest, pointer: POINTER, planes: own });
    assert.deepEqual(given.subarray(64, 72), POINTER);
    assert.equal(given.readUInt32LE(72), 0xa5a5_a5a5, 'the kernel says how many planes there are');
    const expected = Buffer.alloc(128, 0xa5);
    expected.writeUInt32LE(5, 4);
    POINTER.copy(expected, 8);
    expected.writeUInt32LE(6, 68);
    expected.fill(0, 72, 80);
    assert.deepEqual(planes, expected);
  });

  it('a multi-planar record without planes keeps its length', () => {
    const given = record();
    toGuest(given, NOTHING, { ...guest, planes: [] });
    assert.deepEqual([given.readUInt32LE(64), given.readUInt32LE(72)], [0, 0xa5a5_a5a5]);
  });
});
