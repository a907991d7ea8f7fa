/** Each bit of V4L2_BUF_CAP_* on each backing, and the cache hints that one of the bits promises. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { ObjectTable } from '../../../src/media/memory/object-table.js';
import { type Backing, backings } from '../../../src/media/queues/backings.js';
import { guestCapabilities, type Offer } from '../../../src/media/queues/buffer-capabilities.js';
import type { NodeCall } from '../../../src/native.js';
import { privateRegion } from '../../../src/virtio/memory-file.js';
import { DeviceBench, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

/** The bits of <linux/videodev2.h>, up to Linux 7.3. */
const bits = {
  MMAP: 1 << 0,
  USERPTR: 1 << 1,
  DMABUF: 1 << 2,
  REQUESTS: 1 << 3,
  ORPHANED_BUFS: 1 << 4,
  M2M_HOLD_CAPTURE_BUF: 1 << 5,
  MMAP_CACHE_HINTS: 1 << 6,
  MAX_NUM_BUFFERS: 1 << 7,
  REMOVE_BUFS: 1 << 8,
} as const;
const EVERY = 0x1ff;
const nothing: Omit<Offer, 'mmap'> = { sharedPages: false, objects: false, handles: false };
const mmapBackings = (Object.keys(backings) as Backing[]).filter((name) => backings[name].guest === 1);

/** The guest's bits by backing, if the host's driver has every bit. */
const withEvery: Readonly<Record<string, number>> = {
  userptr: EVERY & ~(bits.USERPTR | bits.DMABUF | bits.REQUESTS | bits.MMAP_CACHE_HINTS | bits.REMOVE_BUFS),
  copy: EVERY & ~(bits.USERPTR | bits.DMABUF | bits.REQUESTS | bits.MMAP_CACHE_HINTS | bits.REMOVE_BUFS),
  direct: EVERY & ~(bits.USERPTR | bits.DMABUF | bits.REQUESTS | bits.REMOVE_BUFS),
  unmapped: EVERY & ~(bits.USERPTR | bits.DMABUF | bits.REQUESTS | bits.REMOVE_BUFS),
};

/** Bits that the guest has although the driver has only USERPTR. */
const ownOf: Readonly<Record<string, number>> = {
  userptr: bits.MMAP | bits.ORPHANED_BUFS,
  copy: 0,
  direct: 0,
  unmapped: 0,
};

describe('buffer capabilities', () => {
  assert.deepEqual(mmapBackings.sort(), Object.keys(withEvery).sort());

  for (const mmap of mmapBackings) {
    it(`${mmap}: of a driver that has every bit`, () => {
      assert.equal(guestCapabilities(EVERY, { mmap, ...nothing }), withEvery[mmap]);
    });

    for (const [name, bit] of Object.entries(bits))
      it(`${mmap}: ${name} of a driver that has no other bit, or all others`, () => {
        const keeps = withEvery[mmap]! & bit;
        const own = bit === bits.USERPTR ? ownOf[mmap]! : mmap === 'userptr' ? bits.ORPHANED_BUFS : 0;
        assert.equal(guestCapabilities(bit, { mmap, ...nothing }), keeps | own);
        const without = guestCapabilities(EVERY & ~bit, { mmap, ...nothing });
        const stays = mmap === 'userptr' ? (bits.ORPHANED_BUFS | bits.MMAP) & bit : 0;
        assert.equal(without, (withEvery[mmap]! & ~bit) | stays);
      });

    it(`${mmap}: what the operator has turned on, and no more`, () => {
      const base = withEvery[mmap]!;
      const on = (more: Partial<Offer>, host = EVERY) =>
        guestCapabilities(host, { mmap, ...nothing, ...more });
      assert.equal(on({ sharedPages: true }), base | bits.USERPTR);
      assert.equal(on({ objects: true }), base | bits.DMABUF);
      assert.equal(on({ handles: true }), base | bits.REQUESTS);
      const { USERPTR, DMABUF, REQUESTS } = bits;
      const some = on({ sharedPages: true, objects: true, handles: true }, EVERY & ~(DMABUF | REQUESTS));
      assert.equal(some, base | USERPTR, 'objects and requests are the driver’s too');
    });

    it(`${mmap}: nothing of a driver that says nothing, and no bit that nobody knows`, () => {
      const all = { sharedPages: true, objects: true, handles: true };
      assert.equal(guestCapabilities(0, { mmap, ...all }), 0);
      const known = guestCapabilities(EVERY, { mmap, ...all });
      assert.equal(guestCapabilities(0xffff_ffff, { mmap, ...all }), known);
    });
  }

  describe('the cache hints', () => {
    const [REQBUFS, CREATE_BUFS, QBUF, PREPARE_BUF] = [8, 92, 15, 93];
    const NON_COHERENT = 1;
    const NO_CACHE = 0x1800;
    let bench: DeviceBench;
    let session: number;

    before(() => {
      log.silent = true;
    });
    after(() => {
      log.silent = false;
    });
    afterEach(() => bench.close());

    const setups: Readonly<
      Record<Backing, () => { bench: DeviceBench; memories: number[]; memory: number }>
    > = {
      userptr: () => ({ bench: new DeviceBench('arena'), memories: [1, 2], memory: 1 }),
      copy: () => ({ bench: new DeviceBench('arena'), memories: [1], memory: 1 }),
      direct: () => ({
        bench: new DeviceBench('direct', new FakeTransport(1 << 24, 'direct', true)),
        memories: [1],
        memory: 1,
      }),
      unmapped: () => ({ bench: new DeviceBench('auto', new FakeTransport(0)), memories: [1], memory: 1 }),
      'pages-userptr': () => ({
        bench: new DeviceBench('arena', undefined, { sharedPages: true }),
        memories: [1, 2],
        memory: 2,
      }),
      'pages-copy': () => ({
        bench: new DeviceBench('arena', undefined, { sharedPages: true }),
        memories: [1],
        memory: 2,
      }),
      imported: () => ({
        bench: new DeviceBench('arena', undefined, { objects: new ObjectTable() }),
        memories: [4],
        memory: 4,
      }),
    };

    for (const backing of Object.keys(setups) as Backing[]) {
      const { hints } = backings[backing];
      const kept = hints ? 'reach the driver' : 'stay here';

      const boot = async () => {
        const setup = setups[backing]();
        bench = setup.bench;
        bench.node.memories = setup.memories;
        if (backing === 'direct') bench.node.traits.set('direct:1', true);
        bench.start();
        session = await bench.open();
        const { file } = bench.node;
        const run = file.call.bind(file);
        file.call = async (call) => {
          if (call.kind !== 'map') return run(call);
          call.region = privateRegion('a buffer of the host', 4096);
          return 0;
        };
        return setup.memory;
      };
      /** Flags of every REQBUFS or CREATE_BUFS with a count that reached the node. */
      const flagsOf = (nr: number) =>
        bench.node.file
          .asked(nr)
          .map((call) => Buffer.from((call as NodeCall & { kind: 'ioctl' }).payload))
          .filter((raw) => raw.readUInt32LE(nr === REQBUFS ? 0 : 4) > 0)
          .map((raw) => raw.readUInt32LE(nr === REQBUFS ? 16 : 228));

      it(`${backing}: NON_COHERENT of REQBUFS and CREATE_BUFS, and the bit that promises it, ${kept}`, async () => {
        const memory = await boot();
        const wanted = hints ? NON_COHERENT : 0;
        const made = await bench.ioctl(session, REQBUFS, u32(2, 1, memory, 0, NON_COHERENT));
        assert.equal(made.status, 0);
        assert.deepEqual(new Set(flagsOf(REQBUFS)), new Set([wanted]));
        assert.equal(made.payload.readUInt8(16), wanted);
        if (memory === 1) assert.equal((made.payload.readUInt32LE(12) & bits.MMAP_CACHE_HINTS) !== 0, hints);
        const more = Buffer.alloc(256);
        more.set(u32(0, 1, memory, 0, 1));
        more.writeUInt32LE(100, 16 + 8 + 20);
        more.writeUInt32LE(NON_COHERENT, 228);
        const created = await bench.ioctl(session, CREATE_BUFS, more);
        assert.equal(created.status, 0);
        assert.deepEqual(new Set(flagsOf(CREATE_BUFS)), new Set([wanted]));
        assert.equal(created.payload.readUInt32LE(228), wanted);
        assert.equal(
          created.payload.readUInt32LE(224),
          made.payload.readUInt32LE(12),
          'both say the same of a queue',
        );
      });

      if (backings[backing].guest === 1)
        it(`${backing}: NO_CACHE_CLEAN and NO_CACHE_INVALIDATE of PREPARE_BUF and QBUF ${kept}`, async () => {
          await boot();
          assert.equal((await bench.ioctl(session, REQBUFS, u32(1, 1, 1, 0, 0))).status, 0);
          for (const nr of [PREPARE_BUF, QBUF]) {
            const raw = Buffer.alloc(88);
            raw.set(u32(0, 1, 0, NO_CACHE));
            raw.writeUInt32LE(1, 60);
            const { status, payload } = await bench.ioctl(session, nr, raw);
            assert.equal(status, 0);
            const asked = bench.node.file.asked(nr).at(-1) as NodeCall & { kind: 'buffer' };
            const passed = hints ? NO_CACHE : 0;
            assert.equal(Buffer.from(asked.buffer).readUInt32LE(12) & NO_CACHE, passed);
            assert.equal(payload.readUInt32LE(12) & NO_CACHE, passed, 'and the guest sees which');
          }
        });
    }
  });
});
