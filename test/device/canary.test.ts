/**
 * No address of the daemon ever reaches the guest. The guest does everything that it can do; then every byte that it
 * can read is compared with the address ranges of the daemon's process.
 */
import assert from 'node:assert/strict';
import { addressesIn, type Range } from './support/addresses.js';
import { join, u32, zeros } from './support/bytes.js';
import type { Guest } from './support/guest.js';
import { onVivid, rig } from './support/rig.js';
import {
  CAPTURE,
  CAPTURE_MPLANE,
  Control,
  control,
  controls,
  createBuffers,
  format,
  Nr,
  requestBuffers,
  sg,
  subscription,
  v4l2Buffer,
} from './support/v4l2.js';
import { CROSVM, QEMU } from './support/vmm.js';

onVivid('addresses of the host', () => {
  let guest: Guest;
  let session: number;
  let type: number;
  let planes: number;
  let ranges: Range[];

  /** Adds what the daemon has mapped now to the known ranges. */
  const learn = () => {
    const known = new Set(ranges.map(({ start, end }) => `${start}-${end}`));
    for (const range of rig.daemon.addresses())
      if (range.end < 1n << 63n && !known.has(`${range.start}-${range.end}`)) ranges.push(range);
  };

  const buffer = (index: number) =>
    join(
      v4l2Buffer({ index, type, length: type === CAPTURE ? 0 : planes }),
      zeros(type === CAPTURE ? 0 : 64 * planes),
    );

  /** Sends every ioctl number, with a plausible payload and with one of 0xff bytes. */
  const everyIoctl = async () => {
    for (let nr = 0; nr < 110; nr++)
      for (const fill of [1, 0xff]) {
        const payload = Buffer.alloc(256, fill);
        if (fill === 1) payload.fill(0, 4).writeUInt32LE(type, 0);
        // Left out, because these would undo what the test has set up.
        if (nr === Nr.S_FMT || nr === Nr.STREAMOFF || nr === Nr.REQBUFS || nr === Nr.CREATE_BUFS) continue;
        await guest.command(join(u32(3, 0, session, nr), payload), 600);
      }
  };

  const everyControl = async () => {
    const memory = guest.place(zeros(4096));
    for (const id of Object.values(Control))
      for (const flags of [0, 0x4000_0000, 0x8000_0000])
        for (const size of [8, 120])
          for (const nr of [Nr.S_EXT_CTRLS, Nr.G_EXT_CTRLS]) {
            const one = control((id | flags) >>> 0, size, 0n);
            await guest.ioctl(
              session,
              nr,
              join(controls({ count: 1 }), one, size ? sg(memory, size) : zeros(0)),
            );
          }
  };

  const stream = async (frames: number) => {
    const seen = guest.events.length;
    assert.equal((await guest.tell(session, Nr.STREAMON, u32(type))).status, 0);
    for (let frame = seen; frame < seen + frames; frame++) {
      await guest.until(() => guest.events.length > frame, `frame ${frame}`);
      learn();
      const event = guest.events[frame]!;
      if (event.readUInt32LE(0) === 1) await guest.ioctl(session, Nr.QBUF, buffer(event.readUInt32LE(8)));
    }
  };

  const scan = () => {
    learn();
    assert.ok(ranges.length > 50, `${ranges.length} ranges`);
    const { ram, window } = guest.vmm;
    assert.deepEqual(addressesIn(ram.bytes, ranges), [], 'guest memory, with all answers in it');
    for (const event of guest.events) assert.deepEqual(addressesIn(event, ranges), [], 'an event');
    for (const { offset, length } of window!.mappings) {
      // The arena is as long as SHM region 0, and its buffers are at its start.
      const bytes = window!.read(offset, Math.min(length, 4 << 20));
      assert.deepEqual(addressesIn(bytes, ranges), [], 'SHM region 0');
    }
  };

  it('the scan finds an address where there is one', () => {
    ranges = [];
    learn();
    const heap = ranges.find(({ name }) => name === '[heap]')!;
    const bytes = Buffer.alloc(64, 0x7f);
    bytes.writeBigUInt64LE(heap.start + 8n, 20);
    assert.equal(addressesIn(bytes, ranges).length, 1);
  });

  for (const [mode, protocol] of [
    ['arena', QEMU],
    ['direct', CROSVM],
  ] as const)
    for (const kind of ['single-planar', 'multi-planar'] as const)
      it(`none in anything that a guest can read: ${mode}, ${kind}`, async function () {
        this.timeout(60_000);
        const multiplanar = kind === 'multi-planar';
        if (multiplanar && rig.multiplanar < 0) {
          console.error('SKIPPED: test/device canary: vivid has no multi-planar node (multiplanar=2)');
          this.skip();
        }
        ranges = [];
        guest = await rig.guest({ protocol, node: multiplanar ? rig.multiplanar : 0 });
        // Clears the memory, so that everything in it later was written by the daemon.
        guest.vmm.ram.bytes.fill(0, 0x2_0000);
        session = await guest.open();
        type = multiplanar ? CAPTURE_MPLANE : CAPTURE;
        const NM16 = 0x3631_4d4e;
        const YUYV = 0x5659_5559;
        const wanted = format(type, { 8: u32(320, 180, multiplanar ? NM16 : YUYV) });
        const set = await guest.ioctl(session, Nr.S_FMT, wanted);
        assert.equal(set.status, 0);
        planes = multiplanar ? set.payload[188]! : 1;
        assert.equal((await guest.ioctl(session, Nr.REQBUFS, requestBuffers(3, type))).status, 0);
        assert.equal((await guest.ioctl(session, Nr.CREATE_BUFS, createBuffers(1, set.payload))).status, 0);
        for (let index = 0; index < 4; index++) {
          const { payload } = await guest.ioctl(session, Nr.QUERYBUF, buffer(index));
          for (let plane = 0; plane < planes; plane++) {
            const mmapOffset = payload.readUInt32LE(multiplanar ? 88 + 64 * plane + 8 : 64);
            assert.equal((await guest.mmap(session, mmapOffset)).status, 0);
          }
          assert.equal((await guest.ioctl(session, Nr.PREPARE_BUF, buffer(index))).status, 0);
          assert.equal((await guest.ioctl(session, Nr.QBUF, buffer(index))).status, 0);
        }
        await guest.tell(session, Nr.SUBSCRIBE_EVENT, subscription(3, Control.BRIGHTNESS, 3));
        await stream(8);
        await everyControl();
        await everyIoctl();
        scan();
      });
});
