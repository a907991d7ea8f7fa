/** QUERYBUF, PREPARE_BUF and QBUF of multi-planar queues with any number of plane records. */
import assert from 'node:assert/strict';
import { filled, join, u32 } from './support/bytes.js';
import type { Guest } from './support/guest.js';
import { onVivid, rig } from './support/rig.js';
import { CAPTURE_MPLANE, EINVAL, format, Nr, requestBuffers, v4l2Buffer, v4l2Plane } from './support/v4l2.js';

onVivid('buffers of several planes', () => {
  let guest: Guest;
  let session: number;
  let planes: number;

  before(function () {
    if (rig.multiplanar >= 0) return;
    console.error('SKIPPED: test/device "buffers of several planes": vivid has no such node (multiplanar=2)');
    this.skip();
  });

  /** Sets a format of two planes. */
  beforeEach(async () => {
    guest = await rig.guest({ node: rig.multiplanar });
    session = await guest.open();
    const NM16 = 0x3631_4d4e;
    const wanted = format(CAPTURE_MPLANE, { 8: u32(320, 180, NM16) });
    const { status, payload } = await guest.ioctl(session, Nr.S_FMT, wanted);
    assert.equal(status, 0);
    planes = payload[8 + 180]!;
    assert.equal(planes, 2);
    const { status: granted } = await guest.ioctl(session, Nr.REQBUFS, requestBuffers(2, CAPTURE_MPLANE));
    assert.equal(granted, 0);
  });

  const buffer = (length: number, fields = {}) =>
    join(
      v4l2Buffer({ type: CAPTURE_MPLANE, length, m: 0x1234_5678_9abcn, ...fields }),
      filled(64 * length, 0xff),
    );

  it('QUERYBUF with as many plane records as the guest has, from the number of planes to eight', async () => {
    for (let length = 0; length <= 8; length++) {
      const reply = await guest.ioctl(session, Nr.QUERYBUF, buffer(length));
      if (length < planes) {
        assert.deepEqual([reply.status, reply.length], [EINVAL, 96 + 64 * length], `${length} planes`);
        continue;
      }
      assert.deepEqual([reply.status, reply.payload.readUInt32LE(72)], [0, planes], `${length} planes`);
      assert.equal(reply.payload.readBigUInt64LE(64), 0x1234_5678_9abcn, "the guest's pointer");
      for (let plane = 0; plane < planes; plane++) {
        const at = 88 + 64 * plane;
        assert.ok(reply.payload.readUInt32LE(at + 4) >= 320 * 180, 'length');
        assert.equal(reply.payload.readBigUInt64LE(at + 8) % 0x1_0000n, 0n, 'an mmap offset');
      }
    }
  });

  it('PREPARE_BUF and QBUF with fewer records than planes are EINVAL', async () => {
    for (const nr of [Nr.PREPARE_BUF, Nr.QBUF])
      for (let length = 0; length < planes; length++) {
        const reply = await guest.ioctl(session, nr, buffer(length));
        assert.deepEqual([reply.status, reply.length], [EINVAL, 96 + 64 * length], `${length} planes`);
      }
  });

  it('QBUF with eight records of two planes is taken, as natively', async () => {
    for (const index of [0, 1]) {
      const reply = await guest.ioctl(session, Nr.QBUF, buffer(8, { index }));
      assert.deepEqual([reply.status, reply.payload.readUInt32LE(72)], [0, planes]);
    }
    await guest.tell(session, Nr.STREAMON, u32(CAPTURE_MPLANE));
    await guest.until(() => guest.events.length === 2, 'two frames');
    for (const event of guest.events) {
      assert.deepEqual([event.length, event.readUInt32LE(8 + 4)], [608, CAPTURE_MPLANE]);
      for (let plane = 0; plane < 8; plane++) {
        const record = event.subarray(96 + 64 * plane, 160 + 64 * plane);
        assert.equal(record.readBigUInt64LE(8), 0n, 'm of a plane');
        assert.equal(record.readUInt32LE(0) > 0, plane < planes, `bytesused of plane ${plane}`);
      }
    }
  });

  it('a record that is too long, or planes that did not come, are refused with the echo', async () => {
    for (const request of [
      buffer(9),
      v4l2Buffer({ type: CAPTURE_MPLANE, length: 2 }),
      join(v4l2Buffer({ type: CAPTURE_MPLANE, length: 2 }), v4l2Plane().subarray(0, 63)),
      v4l2Buffer({ type: CAPTURE_MPLANE, length: 0xffff_ffff }),
      v4l2Buffer({ type: CAPTURE_MPLANE, length: 0x0400_0000 }),
    ]) {
      const reply = await guest.ioctl(session, Nr.QBUF, request);
      assert.deepEqual([reply.status, reply.length], [EINVAL, 8 + request.length]);
      assert.ok(reply.payload.equals(request));
    }
  });
});
