/** REQBUFS, CREATE_BUFS, QUERYBUF, QBUF, PREPARE_BUF, STREAMON/OFF and formats with values that no driver sends. */
import assert from 'node:assert/strict';
import { filled, join, u32, u64, zeros } from './support/bytes.js';
import type { Guest } from './support/guest.js';
import { FOREIGN, onVivid, rig, SHM_SIZE } from './support/rig.js';
import {
  CAPTURE,
  CAPTURE_MPLANE,
  createBuffers,
  EBUSY,
  EINVAL,
  ENOBUFS,
  ENOMEM,
  ENOTTY,
  format,
  Nr,
  requestBuffers,
  v4l2Buffer,
} from './support/v4l2.js';
import { CROSVM, QEMU } from './support/vmm.js';

const REQUEST_FD = 0x0080_0000;

onVivid('buffers', () => {
  let guest: Guest;
  let session: number;

  beforeEach(async () => {
    guest = await rig.guest();
    session = await guest.open();
  });

  const statusOf = async (nr: number, payload: Buffer) => (await guest.ioctl(session, nr, payload)).status;
  const allocate = async (count: number) => {
    const { status, payload } = await guest.ioctl(session, Nr.REQBUFS, requestBuffers(count));
    assert.equal(status, 0);
    return payload.readUInt32LE(0);
  };
  /** Checks that a buffer ioctl failed and that the request came back unchanged. */
  const refused = async (nr: number, payload: Buffer, what: string) => {
    const reply = await guest.ioctl(session, nr, payload);
    assert.deepEqual([reply.status, reply.length], [EINVAL, 8 + payload.length], what);
    assert.ok(reply.payload.equals(payload), `${what}: the echo`);
  };
  /** Checks that buffers can still be allocated, mapped and streamed. */
  const goesOn = async () => {
    const type = u32(CAPTURE);
    await guest.tell(session, Nr.STREAMOFF, type);
    assert.ok((await allocate(2)) >= 2);
    const { payload } = await guest.ioctl(session, Nr.QUERYBUF, v4l2Buffer({ index: 0 }));
    const mapped = await guest.mmap(session, payload.readUInt32LE(64));
    assert.equal(mapped.status, 0);
    for (const index of [0, 1]) assert.equal(await statusOf(Nr.QBUF, v4l2Buffer({ index })), 0);
    guest.events.length = 0;
    assert.equal((await guest.tell(session, Nr.STREAMON, type)).status, 0);
    await guest.until(() => guest.events.length === 2, 'two frames');
    for (const event of guest.events) {
      assert.equal(event.length, 608);
      assert.deepEqual([event.readUInt32LE(0), event.readUInt32LE(4)], [1, session]);
    }
    assert.equal((await guest.tell(session, Nr.STREAMOFF, type)).status, 0);
    assert.equal((await guest.munmap(mapped.payload.readBigUInt64LE(0))).status, 0);
    await allocate(0);
  };

  it('REQBUFS of 2^32-1 gives what a queue may have, and no host capability', async () => {
    const { status, length, payload } = await guest.ioctl(session, Nr.REQBUFS, requestBuffers(0xffff_ffff));
    assert.deepEqual([status, length], [0, 28]);
    assert.ok(
      payload.readUInt32LE(0) > 0 && payload.readUInt32LE(0) <= 64,
      `${payload.readUInt32LE(0)} buffers`,
    );
    assert.equal(payload.readUInt32LE(8), 1);
    const USERPTR_DMABUF_REQUESTS_REMOVE = 0x10e;
    assert.equal(payload.readUInt32LE(12) & USERPTR_DMABUF_REQUESTS_REMOVE, 0);
    await goesOn();
  });

  it("memory types that are not the guest's are EINVAL, also with count 0 and in CREATE_BUFS", async () => {
    const { payload: current } = await guest.ioctl(session, Nr.G_FMT, format(CAPTURE));
    for (const memory of [0, 2, 3, 4, 5, 7, 0xffff_ffff]) {
      for (const count of [0, 1, 4])
        assert.equal(
          await statusOf(Nr.REQBUFS, requestBuffers(count, CAPTURE, memory)),
          EINVAL,
          `memory ${memory}`,
        );
      for (const count of [0, 2])
        assert.equal(await statusOf(Nr.CREATE_BUFS, createBuffers(count, current, memory)), EINVAL);
    }
    await goesOn();
  });

  /** vivid has the multi-planar calls on every node. On a single-planar node it answers as if it did not have them. */
  const wrong = (type: number) => (type === CAPTURE_MPLANE ? ENOTTY : EINVAL);

  it('buffer types that the node does not have are EINVAL; overlays never reach it', async () => {
    for (const type of [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x80, 0x8000_0001, 0xffff_ffff]) {
      assert.equal(await statusOf(Nr.REQBUFS, requestBuffers(2, type)), EINVAL, `REQBUFS ${type}`);
      const union = filled(200, 0xff);
      for (const nr of [Nr.G_FMT, Nr.S_FMT, Nr.TRY_FMT])
        assert.equal(await statusOf(nr, format(type, { 8: union })), wrong(type), `format of type ${type}`);
      assert.equal(await statusOf(Nr.CREATE_BUFS, createBuffers(1, format(type, { 8: union }))), EINVAL);
      assert.equal((await guest.tell(session, Nr.STREAMON, u32(type))).status, EINVAL);
      assert.equal((await guest.tell(session, Nr.STREAMOFF, u32(type))).status, EINVAL);
      await refused(Nr.QBUF, v4l2Buffer({ type }), `QBUF of type ${type}`);
      await refused(Nr.QUERYBUF, v4l2Buffer({ type }), `QUERYBUF of type ${type}`);
    }
    await goesOn();
  });

  it('CREATE_BUFS of frames that no host has room for loses nothing', async () => {
    const { payload: current } = await guest.ioctl(session, Nr.G_FMT, format(CAPTURE));
    const sized = (sizeimage: number) => {
      const wanted = Buffer.from(current);
      wanted.writeUInt32LE(sizeimage, 8 + 20);
      return wanted;
    };
    const before = rig.daemon.memory('VmHWM');
    for (const sizeimage of [0xffff_ffff, 0xffff_f000, 0x8000_0000, SHM_SIZE + 1])
      for (const count of [1, 64, 0xffff_ffff])
        assert.ok(
          [EINVAL, ENOMEM].includes(await statusOf(Nr.CREATE_BUFS, createBuffers(count, sized(sizeimage)))),
          `${count} of ${sizeimage} bytes`,
        );
    assert.ok(rig.daemon.memory('VmHWM') - before < 64 * 1024);
    // The driver refuses buffers that are too small, not the bridge.
    assert.equal(await statusOf(Nr.CREATE_BUFS, createBuffers(1, sized(1))), EINVAL);
    await goesOn();
  });

  it('CREATE_BUFS again and again ends at the most that a queue may have', async () => {
    const { payload: current } = await guest.ioctl(session, Nr.G_FMT, format(CAPTURE));
    let total = 0;
    for (let round = 0; ; round++) {
      assert.ok(round < 70, 'no end');
      const { status, payload } = await guest.ioctl(
        session,
        Nr.CREATE_BUFS,
        createBuffers(0xffff_ffff, current),
      );
      if (total > 0 && status !== 0) {
        assert.equal(status, ENOBUFS);
        break;
      }
      assert.equal(status, 0);
      assert.equal(payload.readUInt32LE(0), total, 'buffers follow each other');
      total += payload.readUInt32LE(4);
      assert.ok(payload.readUInt32LE(4) > 0);
    }
    assert.ok(total > 0 && total <= 64, `${total} buffers`);
    assert.equal(await statusOf(Nr.QUERYBUF, v4l2Buffer({ index: total - 1 })), 0);
    await refused(Nr.QUERYBUF, v4l2Buffer({ index: total }), 'one too far');
    await goesOn();
  });

  it('buffers that nobody has are EINVAL, with the echo', async () => {
    const count = await allocate(3);
    for (const nr of [Nr.QUERYBUF, Nr.QBUF, Nr.PREPARE_BUF]) {
      for (const index of [count, 63, 64, 1000, 0x7fff_ffff, 0xffff_ffff])
        await refused(nr, v4l2Buffer({ index, m: 0xdead_beef_cafen }), `index ${index}`);
      await refused(nr, v4l2Buffer({ type: CAPTURE_MPLANE, length: 0xffff_ffff }), 'planes 2^32-1');
      const planes = join(v4l2Buffer({ type: CAPTURE_MPLANE, length: 9 }), zeros(9 * 64));
      await refused(nr, planes, '9 planes');
      await refused(nr, v4l2Buffer({ type: CAPTURE_MPLANE, length: 1 }), 'a plane that did not come');
    }
    for (const memory of [0, 2, 3, 4, 7, 0xffff_ffff])
      for (const nr of [Nr.QBUF, Nr.PREPARE_BUF])
        await refused(nr, v4l2Buffer({ memory, m: 3, length: 4096 }), `memory ${memory}`);
    await goesOn();
  });

  it('lengths, sizes and pointers of a guest mean nothing in QBUF', async () => {
    await allocate(2);
    const { payload: queried } = await guest.ioctl(session, Nr.QUERYBUF, v4l2Buffer({ index: 1 }));
    const odd = {
      index: 1,
      bytesused: 0xffff_ffff,
      length: 0xffff_ffff,
      m: 0x7fff_1234_5678_9abcn,
      requestFd: 3,
    };
    const prepared = await guest.ioctl(session, Nr.PREPARE_BUF, v4l2Buffer(odd));
    const queued = await guest.ioctl(session, Nr.QBUF, v4l2Buffer(odd));
    for (const { status, payload } of [prepared, queued]) {
      assert.equal(status, 0);
      assert.deepEqual(
        payload.subarray(64, 72),
        queried.subarray(64, 72),
        'the mmap offset, not what the guest sent',
      );
      assert.equal(payload.readUInt32LE(72), queried.readUInt32LE(72), 'length');
      assert.deepEqual([payload.readUInt32LE(60), payload.readInt32LE(80)], [1, 0]);
    }
    await refused(Nr.QBUF, v4l2Buffer({ index: 1 }), 'queued twice');
    await goesOn();
  });

  it('every flag of a guest that is not its own is taken off', async () => {
    await allocate(2);
    const { status, payload } = await guest.ioctl(session, Nr.QBUF, v4l2Buffer({ flags: ~REQUEST_FD >>> 0 }));
    assert.equal(status, 0);
    const IN_REQUEST_DONE_ERROR = 0x80 | 0x4 | 0x40;
    assert.equal(payload.readUInt32LE(12) & (IN_REQUEST_DONE_ERROR | REQUEST_FD), 0);
    await goesOn();
  });

  it('requests and DMABUFs are refused, and descriptors of the daemon stay untouched', async () => {
    await allocate(2);
    const foreign = Object.values(FOREIGN);
    const before = foreign.map((fd) => rig.daemon.descriptor(fd));
    for (const fd of [...foreign, 0, 1, 2, 0x7fff_ffff, -1]) {
      for (const nr of [Nr.QBUF, Nr.PREPARE_BUF]) {
        await refused(nr, v4l2Buffer({ flags: REQUEST_FD, requestFd: fd }), `request ${fd}`);
        await refused(nr, v4l2Buffer({ flags: 0xffff_ffff, requestFd: fd }), `request ${fd}, all flags`);
      }
      // QUERYBUF takes no request: as the kernel does, it ignores the flags.
      const asked = await guest.ioctl(session, Nr.QUERYBUF, v4l2Buffer({ flags: REQUEST_FD, requestFd: fd }));
      assert.deepEqual([asked.status, asked.payload.readInt32LE(80)], [0, 0]);
      await refused(Nr.QBUF, v4l2Buffer({ memory: 4, m: BigInt(fd), length: 153600 }), `DMABUF ${fd}`);
    }
    assert.equal(await statusOf(Nr.QBUF, v4l2Buffer({ requestFd: FOREIGN.dmabuf, m: FOREIGN.dmabuf })), 0);
    assert.deepEqual(
      foreign.map((fd) => rig.daemon.descriptor(fd)),
      before,
    );
    await goesOn();
  });

  it('STREAMON without buffers, twice, STREAMOFF without a stream, buffers taken away from a stream', async () => {
    const stream = async (nr: number) => (await guest.tell(session, nr, u32(CAPTURE))).status;
    assert.equal(await stream(Nr.STREAMON), EINVAL);
    assert.equal(await stream(Nr.STREAMOFF), 0);
    await allocate(2);
    assert.equal(await statusOf(Nr.QBUF, v4l2Buffer({ index: 0 })), 0);
    assert.deepEqual([await stream(Nr.STREAMON), await stream(Nr.STREAMON)], [0, 0]);
    for (const count of [0, 4])
      assert.equal(await statusOf(Nr.REQBUFS, requestBuffers(count)), EBUSY, 'vb2 wants STREAMOFF first');
    assert.equal(await statusOf(Nr.QBUF, v4l2Buffer({ index: 1 })), 0, 'nothing was taken away');
    await goesOn();
  });

  it('a second session gets EBUSY where natively it would, and leaves the first alone', async () => {
    await allocate(2);
    const second = await guest.open();
    assert.equal((await guest.ioctl(second, Nr.REQBUFS, requestBuffers(2))).status, EBUSY);
    const theirs = await guest.ioctl(second, Nr.QBUF, v4l2Buffer({ index: 0 }));
    assert.deepEqual([theirs.status, theirs.length], [EINVAL, 96]);
    await guest.shut(second);
    await goesOn();
  });

  for (const [mode, protocol] of [
    ['arena', QEMU],
    ['direct', CROSVM],
  ] as const)
    it(`frames come without anything that is an address, an offset or a descriptor (${mode})`, async () => {
      guest.close();
      await rig.released();
      guest = await rig.guest({ protocol });
      session = await guest.open();
      await allocate(2);
      for (const index of [0, 1])
        await guest.ioctl(session, Nr.QBUF, v4l2Buffer({ index, m: -1n, requestFd: 9 }));
      await guest.tell(session, Nr.STREAMON, u32(CAPTURE));
      await guest.until(() => guest.events.length === 2, 'two frames');
      for (const event of guest.events) {
        const buffer = event.subarray(8, 96);
        assert.deepEqual(buffer.subarray(64, 72), u64(0), 'm');
        assert.deepEqual(buffer.subarray(76, 84), u64(0), 'reserved2 and request_fd');
        assert.ok(event.subarray(96).equals(zeros(512)), 'planes');
        assert.equal(buffer.readUInt32LE(60), 1);
      }
      await goesOn();
    });
});
