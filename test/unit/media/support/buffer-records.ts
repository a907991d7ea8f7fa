/** Records of buffers, field by field, after videodev2.h. No code is shared with the product. */
import assert from 'node:assert/strict';

/** struct v4l2_buffer as hex, from named fields. A field that is not given is 0. */
export function record(fields: Record<string, string>): Buffer {
  const layout: [string, number][] = [
    ['index', 4],
    ['type', 4],
    ['bytesused', 4],
    ['flags', 4],
    ['field', 4],
    ['pad20', 4],
    ['timestamp', 16],
    ['timecode', 16],
    ['sequence', 4],
    ['memory', 4],
    ['m', 8],
    ['length', 4],
    ['reserved2', 4],
    ['requestFd', 4],
    ['pad84', 4],
  ];
  const unknown = Object.keys(fields).filter((name) => !layout.some(([known]) => known === name));
  assert.deepEqual(unknown, []);
  const raw = Buffer.from(layout.map(([name, size]) => fields[name] ?? '00'.repeat(size)).join(''), 'hex');
  assert.equal(raw.length, 88);
  return raw;
}

/** struct v4l2_plane as hex. */
export function planeRecord(
  bytesused: string,
  length: string,
  m: string,
  dataOffset: string,
  reserved = '00',
): Buffer {
  return Buffer.from(bytesused + length + m + dataOffset + reserved.repeat(44), 'hex');
}

export const ff = (bytes: number) => 'ff'.repeat(bytes);
export const TIMES = {
  timestamp: '0102030405060708090a0b0c0d0e0f10',
  timecode: '1112131415161718191a1b1c1d1e1f20',
};
/** A guest's record in which all bits of all fields are set. */
export const GREEDY = record({
  index: '03000000',
  type: '01000000',
  bytesused: '44332211',
  flags: ff(4),
  field: '05000000',
  pad20: ff(4),
  ...TIMES,
  sequence: '99999999',
  memory: '02000000',
  m: 'efcdab8967452301',
  length: ff(4),
  reserved2: ff(4),
  requestFd: '03000000',
  pad84: ff(4),
});
