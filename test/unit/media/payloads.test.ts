/**
 * VIRTIO 1.4, Media Device, "Ioctls payload": where the payload of each ioctl is, and when it comes back. The list was
 * written by hand from <linux/videodev2.h>. The node is a fake.
 */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { ObjectTable } from '../../../src/media/memory/object-table.js';
import { native } from '../../../src/native.js';
import { buffer, DeviceBench, type Reply, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

type Direction = 'r' | 'w' | 'wr';

/** All ioctls that may pass: number, bytes of the structure, direction of the _IO* macro. */
// biome-ignore format: a table
const ioctls: readonly (readonly [nr: number, size: number, direction: Direction])[] = [
  [2, 64, 'wr'], [4, 208, 'wr'], [5, 208, 'wr'], [8, 20, 'wr'], [9, 88, 'wr'], [15, 88, 'wr'], [16, 64, 'wr'], [18, 4, 'w'],
  [19, 4, 'w'], [21, 204, 'wr'], [22, 204, 'wr'], [23, 8, 'r'], [24, 8, 'w'], [25, 72, 'wr'], [26, 80, 'wr'], [27, 8, 'wr'],
  [28, 8, 'wr'], [29, 84, 'wr'], [30, 84, 'w'], [33, 52, 'r'], [34, 52, 'w'], [36, 68, 'wr'], [37, 44, 'wr'], [38, 4, 'r'],
  [39, 4, 'wr'], [40, 40, 'wr'], [41, 40, 'wr'], [46, 4, 'r'], [47, 4, 'wr'], [48, 72, 'wr'], [49, 52, 'r'], [50, 52, 'w'],
  [54, 68, 'wr'], [55, 68, 'w'], [56, 44, 'wr'], [57, 44, 'w'], [58, 44, 'wr'], [59, 20, 'wr'], [60, 20, 'w'], [63, 8, 'r'],
  [64, 208, 'wr'], [65, 52, 'wr'], [66, 52, 'wr'], [69, 116, 'wr'], [71, 32, 'wr'], [72, 32, 'wr'], [73, 32, 'wr'],
  [74, 44, 'wr'], [75, 52, 'wr'], [76, 2072, 'r'], [77, 40, 'wr'], [78, 40, 'wr'], [82, 48, 'w'], [87, 132, 'wr'],
  [88, 132, 'wr'], [90, 32, 'w'], [91, 32, 'w'], [92, 256, 'wr'], [93, 88, 'wr'], [94, 64, 'wr'], [95, 64, 'wr'],
  [96, 72, 'wr'], [97, 72, 'wr'], [98, 148, 'wr'], [99, 132, 'r'], [100, 144, 'wr'], [101, 64, 'wr'], [103, 232, 'wr'],
  [104, 64, 'wr'],
];
const [REQBUFS, EXPBUF] = [8, 16];
const UUID = 16;
const EPERM = 1;
const ENOTTY = 25;
/** Buffers, controls, EDID, QUERY_DV_TIMINGS: the kernel writes them on errors too, or the Linux driver wants them. */
const writtenOnErrors: ReadonlySet<number> = new Set([9, 15, 93, 71, 72, 73, 40, 41, 99]);

/** A payload with which the ioctl succeeds, or at least reaches the node. */
const requests: Readonly<Record<number, Buffer>> = {
  8: u32(2, 1, 1, 0, 0),
  9: buffer(0),
  15: buffer(0),
  93: buffer(1),
  16: Buffer.concat([u32(1, 0, 0, 0, 0), Buffer.alloc(44)]),
  40: Buffer.alloc(40),
  41: Buffer.alloc(40),
  71: Buffer.alloc(32),
  72: Buffer.alloc(32),
  73: Buffer.alloc(32),
  92: Buffer.concat([u32(0, 1, 1, 0, 1), Buffer.alloc(236)]),
  104: Buffer.concat([u32(0, 1, 1), Buffer.alloc(52)]),
};

describe('payloads', () => {
  let bench: DeviceBench;
  let session: number;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(async () => {
    const objects = new ObjectTable();
    bench = new DeviceBench('auto', new FakeTransport(1 << 24, 'direct', true), { objects });
    bench.node.ioctls.set(EXPBUF, (payload) => {
      payload.writeInt32LE(native.memoryFile('a dmabuf, say', 4096), 16);
      return 0;
    });
    bench.start();
    session = await bench.open();
    const { file } = bench.node;
    const call = file.call.bind(file);
    file.call = (asked) => (asked.kind === 'edid' ? Promise.resolve(bench.node.fallback) : call(asked));
    assert.equal((await bench.ioctl(session, REQBUFS, u32(2, 1, 1, 0, 0))).status, 0);
  });
  afterEach(() => bench.close());

  /** Sends an ioctl with more room than any answer needs, so the length shows what the device writes. */
  const ask = (nr: number, size: number, direction: Direction): Promise<Reply> => {
    const whole = requests[nr] ?? Buffer.concat([u32(1), Buffer.alloc(size - 4)]);
    const sent = direction === 'r' ? Buffer.alloc(0) : whole;
    return bench.command(Buffer.concat([u32(3, 0, session, nr), sent]), 8 + size + 500);
  };

  for (const [nr, size, direction] of ioctls)
    it(`${nr}: a success writes ${direction === 'w' ? 'a header alone' : 'the whole payload'}`, async () => {
      const { status, length } = await ask(nr, size, direction);
      const written = direction === 'w' ? 0 : size + (nr === EXPBUF ? UUID : 0);
      assert.deepEqual([status, length], [0, 8 + written]);
    });

  it('an error is a header alone, or a header and the whole payload where errors change it', async () => {
    bench.node.fallback = EPERM;
    bench.node.controls = () => EPERM;
    const run = bench.node.file.call.bind(bench.node.file);
    bench.node.file.call = (call) => (call.kind === 'buffer' ? Promise.resolve(EPERM) : run(call));
    // REQBUFS comes last, because the kernel has freed the old buffers when it fails.
    for (const [nr, size, direction] of [...ioctls].reverse()) {
      bench.node.ioctls.set(nr, () => EPERM);
      const { status, length } = await ask(nr, size, direction);
      assert.deepEqual([status, length], [EPERM, 8 + (writtenOnErrors.has(nr) ? size : 0)], `${nr}`);
    }
  });

  it('every number that is not in the list is ENOTTY', async () => {
    const known = new Set(ioctls.map(([nr]) => nr));
    for (let nr = 0; nr < 256; nr++) {
      if (known.has(nr)) continue;
      const { status, length } = await bench.ioctl(session, nr, Buffer.alloc(300));
      assert.deepEqual([status, length], [ENOTTY, 8], `${nr}`);
    }
  });

  it('a structure of a 32-bit program is too short, and never reaches the node', async () => {
    const EINVAL = 22;
    // v4l2_format, v4l2_buffer, v4l2_create_buffers, v4l2_standard, v4l2_input, v4l2_ext_controls, v4l2_edid.
    // biome-ignore format: a table
    const short = [[4, 204], [15, 68], [15, 80], [92, 248], [25, 64], [26, 76], [71, 24], [40, 36]] as const;
    const before = bench.node.file.calls.length;
    for (const [nr, size] of short)
      assert.equal((await bench.ioctl(session, nr, Buffer.alloc(size))).status, EINVAL, `${nr}`);
    assert.equal(bench.node.file.calls.length, before);
  });

  it('the readable part is read before anything is written: both may be the same memory', async () => {
    const { ring } = bench.commands;
    const at = bench.commands.put(
      0x10_0000,
      Buffer.concat([u32(3, 0, session, 5), u32(1), Buffer.alloc(204, 7)]),
    );
    let seen: Buffer | undefined;
    bench.node.ioctls.set(5, (payload) => {
      seen = Buffer.from(payload);
      payload.fill(9, 8);
      return 0;
    });
    // The response header overwrites the command header, and the payload overwrites the payload.
    ring.chain(
      250,
      [
        { address: at, length: 16 },
        { address: at + 16, length: 208 },
      ],
      [
        { address: at, length: 8 },
        { address: at + 16, length: 208 },
      ],
    );
    ring.offer(250);
    bench.device.queueKicked(0);
    for (let n = 0; n < 20; n++) await new Promise(setImmediate);
    assert.ok(seen?.equals(Buffer.concat([u32(1), Buffer.alloc(204, 7)])));
    assert.equal(bench.commands.seen(0x10_0000, 4).readUInt32LE(0), 0, 'status');
    assert.ok(bench.commands.seen(0x10_0000 + 24, 200).every((byte) => byte === 9));
  });
});
