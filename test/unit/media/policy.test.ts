/** What an operator's policy denies to the guest: lists, limits, and what no flag can allow. The node is a fake. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { allows, defaultPolicy, type Entry, isOpen, type Policy } from '../../../src/media/policy.js';
import { DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const EINVAL = 22;
const ENOTTY = 25;
const ENOMEM = 12;
const EMFILE = 24;
const ENOBUFS = 105;

const id = (value: number): Entry => ({ mask: 0x0fff_ffff, value });
const classOf = (value: number): Entry => ({ mask: 0x0fff_0000, value });
const all: Entry = { mask: 0, value: 0 };

let bench: DeviceBench;
let session: number;

async function boot(policy: Partial<Policy>, more: ConstructorParameters<typeof DeviceBench>[2] = {}) {
  bench?.close();
  bench = new DeviceBench('auto', new FakeTransport(), { policy: { ...defaultPolicy, ...policy }, ...more });
  bench.start();
  session = await bench.open();
}

const ask = (nr: number, payload: Buffer) => bench.ioctl(session, nr, payload);
const statusOf = async (nr: number, payload: Buffer) => (await ask(nr, payload)).status;

describe('policy', () => {
  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
    bench.close();
  });

  it('everything is allowed unless something is named; what is denied is denied, also where it is allowed', () => {
    assert.ok(isOpen(defaultPolicy.controls) && isOpen(defaultPolicy.formats));
    const access = { allow: [classOf(0x98_0000)], deny: [id(0x98_0900)] };
    assert.deepEqual(
      [0x98_0900, 0x98_0901, 0x9a_0901].map((each) => allows(access, each)),
      [false, true, false],
    );
    assert.equal(allows({ allow: null, deny: [all] }, 0x98_0900), false);
    assert.equal(allows({ allow: [], deny: [] }, 0x98_0900), false);
    // In the fourcc of a big-endian pixel format, bit 31 is set.
    assert.equal(allows({ allow: [{ mask: 0xffff_ffff, value: 0xa036_3159 }], deny: [] }, 0xa036_3159), true);
  });

  describe('of limits', () => {
    const request = (count: number, type = 1) => u32(count, type, 1, 0, 0);
    /** The node's current format has buffers of so many bytes, and REQBUFS makes them. */
    const makeBuffersOf = (bytes: number) => {
      bench.node.ioctls.set(4, (payload) => {
        payload.writeUInt32LE(bytes, 8 + 20);
        return 0;
      });
      bench.node.planeLengths = [bytes];
    };
    const create = (count: number, sizeimage: number) => {
      const raw = Buffer.alloc(256);
      raw.set(u32(0, count, 1, 0, 1));
      raw.writeUInt32LE(sizeimage, 16 + 8 + 20);
      return raw;
    };

    it('sessions: EMFILE beyond, and again one when one is closed', async () => {
      await boot({ maxSessions: 2 });
      await bench.open();
      assert.equal((await bench.command(u32(1, 0), 16)).status, EMFILE);
      await bench.command(u32(2, 0, session, 0), 8);
      await bench.open();
    });

    it('buffers of a queue: REQBUFS gives fewer, CREATE_BUFS ENOBUFS, and says the most', async () => {
      await boot({ maxBuffers: 3 });
      assert.equal((await ask(8, request(20))).payload.readUInt32LE(0), 3);
      assert.equal(await statusOf(92, create(1, 1000)), ENOBUFS);
      await ask(8, request(2));
      const { status, payload } = await ask(92, create(4, 1000));
      assert.deepEqual([status, payload.readUInt32LE(4), payload.readUInt32LE(232)], [0, 1, 3]);
    });

    it('a driver that needs more buffers than that: ENOMEM, and none is left', async () => {
      await boot({ maxBuffers: 1 });
      const { fakeRequest } = minimumOf(2);
      bench.node.ioctls.set(8, fakeRequest);
      assert.equal(await statusOf(8, request(1)), ENOMEM);
      const last = bench.node.file.asked(8).at(-1) as { payload: Uint8Array };
      assert.equal(Buffer.from(last.payload).readUInt32LE(0), 0, 'REQBUFS(0)');
      assert.equal(await statusOf(9, Buffer.concat([u32(0, 1), Buffer.alloc(80)])), EINVAL);
    });

    it('bytes of a session: counted over its queues, known before the node allocates', async () => {
      await boot({ maxBufferBytes: 5000 });
      makeBuffersOf(2000);
      assert.equal((await ask(8, request(4))).payload.readUInt32LE(0), 2);
      assert.equal(await statusOf(92, create(1, 1001)), ENOMEM);
      assert.equal(bench.node.file.buffers.length, 2);
    });

    it('bytes of a device: counted over its sessions, those that are not closed yet and buffers that are being made included', async () => {
      await boot({ maxDeviceBytes: 5000 });
      makeBuffersOf(1000);
      const other = await bench.open();
      // Both sessions request buffers at the same time.
      const counts = await Promise.all([session, other].map((each) => bench.ioctl(each, 8, request(4))));
      assert.deepEqual(
        counts.map(({ payload }) => payload.readUInt32LE(0)),
        [4, 1],
      );
      assert.equal((await bench.ioctl(other, 92, create(1, 1000))).status, ENOMEM);
      let closed = () => {};
      bench.node.closing = new Promise((resolve) => {
        closed = resolve;
      });
      bench.offer(u32(2, 0, session, 0), 0);
      assert.equal((await bench.ioctl(other, 92, create(1, 1000))).status, ENOMEM);
      closed();
      await bench.device.closed();
      assert.equal((await bench.ioctl(other, 92, create(9, 1000))).payload.readUInt32LE(4), 4);
    });

    /** REQBUFS of a driver that makes at least `least` buffers. */
    function minimumOf(least: number) {
      const { file } = bench.node;
      return {
        fakeRequest: (payload: Buffer) => {
          const count = payload.readUInt32LE(0);
          file.buffers.length = 0;
          if (count === 0) return 0;
          for (let n = 0; n < Math.max(count, least); n++) file.buffers.push({ state: 'idle', flags: 0 });
          payload.writeUInt32LE(file.buffers.length, 0);
          return 0;
        },
      };
    }
  });

  it('privileged and unknown ioctls are ENOTTY whatever is switched on, and never reach the node', async () => {
    const requests = { mode: 'handles', media: { fd: -1 } } as const;
    await boot({}, { sharedPages: true, errorEvents: true, requests });
    const privileged = {
      G_FBUF: 10,
      S_FBUF: 11,
      OVERLAY: 14,
      G_PRIORITY: 67,
      S_PRIORITY: 68,
      LOG_STATUS: 70,
      DBG_S_REGISTER: 79,
      DBG_G_REGISTER: 80,
      DBG_G_CHIP_INFO: 102,
    };
    const before = bench.node.file.calls.length;
    for (const [name, nr] of Object.entries(privileged))
      assert.equal(await statusOf(nr, Buffer.alloc(256)), ENOTTY, name);
    // Numbers from 192 on are private to drivers. Here four of them are for request handles (docs/stateless.md).
    for (let nr = 196; nr < 256; nr++) assert.equal(await statusOf(nr, Buffer.alloc(256)), ENOTTY, `${nr}`);
    assert.equal(bench.node.file.calls.length, before);
  });
});
