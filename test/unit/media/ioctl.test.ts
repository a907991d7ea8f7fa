/** CMD_IOCTL and the rules of the ioctl table. The node is a fake. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { DeviceBench, turns, u32 } from './bench.js';

const EINVAL = 22;
const ENOTTY = 25;
const EBADF = 9;

/** The ioctls that a guest of a camera gets: number, bytes and direction from <linux/videodev2.h>. */
const offered: readonly (readonly [number, number, 'r' | 'w' | 'wr'])[] = [
  [2, 64, 'wr'],
  [4, 208, 'wr'],
  [5, 208, 'wr'],
  [21, 204, 'wr'],
  [22, 204, 'wr'],
  [26, 80, 'wr'],
  [27, 8, 'wr'],
  [28, 8, 'wr'],
  [36, 68, 'wr'],
  [37, 44, 'wr'],
  [38, 4, 'r'],
  [39, 4, 'wr'],
  [64, 208, 'wr'],
  [74, 44, 'wr'],
  [75, 52, 'wr'],
  [94, 64, 'wr'],
  [95, 64, 'wr'],
  [103, 232, 'wr'],
];
/**
 * QUERYCAP, EXPBUF (objects are not offered), DQBUF, G/S_JPEGCOMP, priorities, LOG_STATUS, DBG, FBUF, OVERLAY, DQEVENT,
 * private numbers.
 */
const unsupported = [
  0, 1, 3, 6, 7, 10, 11, 14, 16, 17, 61, 62, 67, 68, 70, 79, 80, 81, 89, 102, 105, 192, 255,
];

describe('ioctl', () => {
  let bench: DeviceBench;
  let session: number;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(async () => {
    bench = new DeviceBench();
    bench.start();
    session = await bench.open();
  });
  afterEach(() => bench.close());

  for (const [nr, size, direction] of offered)
    it(`${nr}: a payload of ${size} bytes, ${direction}`, async () => {
      const given = Buffer.alloc(size, 0x11);
      given.writeUInt32LE(1, 0);
      let seen: Buffer | undefined;
      bench.node.ioctls.set(nr, (payload) => {
        seen = Buffer.from(payload);
        payload.fill(0x22);
        return 0;
      });
      const { status, length, payload } = await bench.command(
        Buffer.concat([u32(3, 0, session, nr), given]),
        8 + size + 50,
      );
      assert.equal(status, 0);
      assert.equal(seen?.length, size);
      if (direction === 'r')
        assert.ok(
          seen.every((byte) => byte === 0),
          'a payload that only comes back goes in as 0',
        );
      else if (nr !== 21 && nr !== 22) assert.deepEqual(seen, given);
      assert.equal(length, 8 + size);
      const untouched = payload.filter((byte) => byte === 0x22).length;
      assert.equal(untouched, nr === 21 || nr === 22 ? size - 4 : size);
    });

  it('of the direction r takes both forms: with a payload, as Linux sends it, and without', async () => {
    bench.node.ioctls.set(38, (payload) => {
      payload.writeUInt32LE(3);
      return 0;
    });
    for (const more of [Buffer.alloc(0), u32(0xffff_ffff)]) {
      const { length, payload } = await bench.command(Buffer.concat([u32(3, 0, session, 38), more]), 12);
      assert.deepEqual([length, payload], [12, u32(3)]);
    }
  });

  it('a payload that is too short is EINVAL, and the node never hears of it', async () => {
    for (const [nr, size, direction] of offered) {
      if (direction === 'r') continue;
      for (const length of [0, 1, size - 1]) {
        const reply = await bench.ioctl(session, nr, Buffer.alloc(length));
        assert.deepEqual([reply.status, reply.length], [EINVAL, 8], `${nr} with ${length} bytes`);
      }
    }
    for (const [nr, size] of [
      [8, 20],
      [15, 88],
      [71, 32],
      [90, 32],
      [92, 256],
    ] as const)
      assert.equal((await bench.ioctl(session, nr, Buffer.alloc(size - 1))).status, EINVAL);
    assert.deepEqual(bench.node.file.calls, []);
  });

  it('what is not in the table is ENOTTY in 8 bytes, whatever comes with it, and never reaches the node', async () => {
    for (const nr of [...unsupported, 256, 256 + 5, 0xc0d0_5605, 0xffff_ffff])
      for (const bytes of [0, 300]) {
        const reply = await bench.ioctl(session, nr, Buffer.alloc(bytes, 0xff));
        assert.deepEqual([reply.status, reply.length], [ENOTTY, 8], `${nr}`);
      }
    assert.deepEqual(bench.node.file.calls, []);
  });

  it('an unknown number is ENOTTY before an unknown session is EBADF', async () => {
    assert.equal((await bench.ioctl(999, 17, Buffer.alloc(88))).status, ENOTTY);
    assert.equal((await bench.ioctl(999, 4, Buffer.alloc(208))).status, EBADF);
  });

  it('errors come without a payload, except where the driver loses the errno without it', async () => {
    bench.node.fallback = 19 + 3;
    const format = await bench.ioctl(session, 4, u32(1, ...Array(51).fill(0)));
    assert.deepEqual([format.status, format.length], [EINVAL, 8]);
    const buffer = Buffer.alloc(88, 0x11);
    const queued = await bench.ioctl(session, 15, buffer);
    assert.deepEqual([queued.status, queued.payload], [EINVAL, buffer]);
    bench.node.controls = () => ENOTTY;
    const controls = Buffer.concat([u32(0, 1, 0, 0, 0, 0, 0x99, 0x99), u32(0x0098_0900, 0, 0, 7, 0)]);
    const refused = await bench.ioctl(session, 71, controls);
    assert.deepEqual([refused.status, refused.length, refused.payload], [ENOTTY, 8 + 52, controls]);
  });

  it('overlays are EINVAL and never reach the node', async () => {
    for (const type of [3, 8]) {
      for (const nr of [4, 5, 64])
        assert.equal(
          (await bench.ioctl(session, nr, u32(type, ...Array(51).fill(0xffff_ffff)))).status,
          EINVAL,
        );
      assert.equal((await bench.ioctl(session, 8, u32(1, type, 1, 0, 0))).status, EINVAL);
      const create = Buffer.alloc(256);
      create.set(u32(0, 1, 1, 0, type), 0);
      assert.equal((await bench.ioctl(session, 92, create)).status, EINVAL);
      assert.equal((await bench.tell(session, 18, u32(type))).status, EINVAL);
    }
    assert.deepEqual(bench.node.file.calls, []);
  });

  it('G_PARM and S_PARM: there are no read buffers, for either side', async () => {
    let seen = -1;
    bench.node.ioctls.set(22, (payload) => {
      seen = payload.readUInt32LE(24);
      payload.writeUInt32LE(4, 24);
      return 0;
    });
    const parm = Buffer.alloc(204);
    parm.writeUInt32LE(9, 24);
    const { payload } = await bench.ioctl(session, 22, parm);
    assert.deepEqual([seen, payload.readUInt32LE(24)], [0, 0]);
  });

  it('G_TUNER, G_MODULATOR and ENUM_FREQ_BANDS: RDS only as controls', async () => {
    const [RDS, BLOCK_IO, CONTROLS] = [0x80, 0x100, 0x200];
    for (const [nr, size, at] of [
      [29, 84, 40],
      [54, 68, 36],
      [101, 64, 12],
    ] as const) {
      for (const [own, seen] of [
        [0x1 | RDS | BLOCK_IO, 0x1],
        [0x8000_0000 | RDS | CONTROLS, 0x8000_0000 | RDS | CONTROLS],
        [RDS | BLOCK_IO | CONTROLS, RDS | CONTROLS],
      ] as const) {
        bench.node.ioctls.set(nr, (payload) => {
          payload.writeUInt32LE(own >>> 0, at);
          return 0;
        });
        const { payload } = await bench.ioctl(session, nr, Buffer.alloc(size, 0xff));
        assert.equal(payload.readUInt32LE(at), seen >>> 0, `${nr}`);
        assert.equal(payload.readUInt32LE(at + 4), 0xffff_ffff, 'the next field is as it was');
      }
    }
  });

  it('a session does one thing at a time, two sessions do not wait for each other', async () => {
    const second = await bench.open();
    const release = bench.node.hold();
    const order: string[] = [];
    const run = (name: string, id: number) =>
      bench.ioctl(id, 4, u32(1, ...Array(51).fill(0))).then(() => order.push(name));
    const all = [run('first', session), run('behind it', session), run('other session', second)];
    await turns();
    assert.deepEqual(order, ['other session']);
    release();
    await Promise.all(all);
    assert.deepEqual(order, ['other session', 'first', 'behind it']);
  });

  it('a handler that throws leaves nobody without an answer', async () => {
    bench.node.ioctls.set(4, () => {
      throw new Error('on purpose');
    });
    const EIO = 5;
    const reply = await bench.ioctl(session, 4, u32(1, ...Array(51).fill(0)));
    assert.deepEqual([reply.status, reply.length], [EIO, 8]);
    bench.node.ioctls.delete(4);
    assert.equal((await bench.ioctl(session, 4, u32(1, ...Array(51).fill(0)))).status, 0);
  });
});
