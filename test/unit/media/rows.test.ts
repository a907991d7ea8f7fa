/** Ioctls with more than a payload to forward: EDID, timings, codec commands, REMOVE_BUFS. Also EVT_ERROR. */
import assert from 'node:assert/strict';
import { Errno } from '../../../src/errno.js';
import { log } from '../../../src/log.js';
import type { NodeCall } from '../../../src/native.js';
import { buffer, DeviceBench, turns, u32 } from './bench.js';
import { FakeTransport } from './fake-transport.js';

const [EDID, QUERY_TIMINGS, DECODER_CMD, REMOVE, REQBUFS, QBUF, STREAMON] = [40, 99, 96, 104, 8, 15, 18];
const LAST = 0x0010_0000;
const IN = 1;
const [ENOTTY, EINVAL, EPIPE, ENOLINK, ENODEV] = [25, 22, 32, 67, 19];

describe('rows of their own', () => {
  let bench: DeviceBench;
  let session: number;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  const boot = async (errorEvents = false) => {
    bench = new DeviceBench('auto', new FakeTransport(), { errorEvents });
    bench.start();
    session = await bench.open();
  };
  beforeEach(() => boot());
  afterEach(() => bench.close());

  const edid = (blocks: number) => {
    const record = Buffer.alloc(40, 0);
    record.writeUInt32LE(blocks, 8);
    record.writeBigUInt64LE(0x7fff_1234_5678n, 32);
    return record;
  };
  const edidCalls = () => bench.node.file.calls.filter((call) => call.kind === 'edid');

  describe('EDID', () => {
    /** The node fills each block with the number of the block. */
    const answering = (errno: number) => {
      const { file } = bench.node;
      const call = file.call.bind(file);
      file.call = (asked: NodeCall) => {
        if (asked.kind !== 'edid') return call(asked);
        file.calls.push({ ...asked, blocks: Buffer.from(asked.blocks) });
        for (let at = 0; at < asked.blocks.length; at += 128) asked.blocks.fill(at / 128 + 1, at, at + 128);
        return Promise.resolve(errno);
      };
    };

    it('blocks follow the structure both ways, and the pointer is the program’s own', async () => {
      answering(0);
      const sent = Buffer.concat([edid(2), Buffer.alloc(256, 0xcc)]);
      const { status, payload } = await bench.ioctl(session, EDID, sent);
      assert.equal(status, 0);
      assert.ok(payload.subarray(0, 40).equals(edid(2)));
      assert.ok(payload.subarray(40).equals(Buffer.concat([Buffer.alloc(128, 1), Buffer.alloc(128, 2)])));
      const [asked] = edidCalls();
      assert.ok(asked?.kind === 'edid' && asked.blocks.every((byte) => byte === 0xcc));
    });

    it('blocks that a program did not send are zeros; with none there is only the structure', async () => {
      answering(0);
      assert.equal((await bench.ioctl(session, EDID, edid(1))).status, 0);
      assert.equal((await bench.ioctl(session, EDID, edid(0))).payload.length, 40);
      const [one, none] = edidCalls();
      assert.ok(one?.kind === 'edid' && one.blocks.length === 128 && one.blocks.every((byte) => byte === 0));
      assert.ok(none?.kind === 'edid' && none.blocks.length === 0);
    });

    it('comes back on errors too, but for ENOTTY; more than 256 blocks are nobody’s', async () => {
      answering(Errno.EINVAL);
      const refused = await bench.ioctl(session, EDID, Buffer.concat([edid(1), Buffer.alloc(128)]));
      assert.deepEqual([refused.status, refused.payload.length], [EINVAL, 168]);
      answering(ENOTTY);
      assert.equal((await bench.ioctl(session, EDID, Buffer.concat([edid(1), Buffer.alloc(128)]))).length, 8);
      const asked = edidCalls().length;
      for (const blocks of [257, 0xffff_ffff])
        assert.equal((await bench.ioctl(session, EDID, edid(blocks))).status, EINVAL);
      assert.equal(edidCalls().length, asked);
    });
  });

  it('QUERY_DV_TIMINGS: what was measured comes back with the error', async () => {
    bench.node.ioctls.set(QUERY_TIMINGS, (payload) => {
      payload.fill(0x42);
      return ENOLINK;
    });
    const { status, payload } = await bench.ioctl(session, QUERY_TIMINGS, Buffer.alloc(132));
    assert.equal(status, ENOLINK);
    assert.ok(payload.equals(Buffer.alloc(132, 0x42)));
  });

  const start = async (count: number) => {
    assert.equal((await bench.ioctl(session, REQBUFS, u32(count, 1, 1, 0, 0))).status, 0);
    for (let index = 0; index < count; index++)
      assert.equal((await bench.ioctl(session, QBUF, buffer(index))).status, 0);
    assert.equal((await bench.tell(session, STREAMON, u32(1))).status, 0);
    await turns();
  };

  it('DECODER_CMD START: a drained queue is looked at and waited for again; STOP leaves it alone', async () => {
    await start(2);
    const { file } = bench.node;
    file.frame(LAST);
    await turns();
    bench.node.dequeueErrno = EPIPE;
    file.ready(IN);
    await turns();
    assert.equal(file.watched.at(-1)! & IN, 0);
    bench.node.dequeueErrno = 0;
    const command = (cmd: number) =>
      bench.ioctl(session, DECODER_CMD, Buffer.concat([u32(cmd), Buffer.alloc(68)]));
    assert.equal((await command(1)).status, 0);
    assert.equal(file.watched.at(-1)! & IN, 0);
    assert.equal((await command(0)).status, 0);
    await turns();
    assert.equal(file.watched.at(-1)! & IN, IN);
  });

  it('REMOVE_BUFS: those buffers are gone, and the last ones only after the watcher was told', async () => {
    assert.equal((await bench.ioctl(session, REQBUFS, u32(4, 1, 1, 0, 0))).status, 0);
    const remove = (first: number, count: number) =>
      bench.ioctl(session, REMOVE, Buffer.concat([u32(first, count, 1), Buffer.alloc(52)]));
    bench.node.ioctls.set(REMOVE, () => EINVAL);
    assert.equal((await remove(1, 2)).status, EINVAL);
    assert.equal((await bench.ioctl(session, 9, buffer(1))).status, 0, 'a refused removal removes nothing');
    bench.node.ioctls.set(REMOVE, () => 0);
    assert.equal((await remove(1, 2)).status, 0);
    const known = [];
    for (const index of [0, 1, 2, 3]) known.push((await bench.ioctl(session, 9, buffer(index))).status);
    assert.deepEqual(known, [0, EINVAL, EINVAL, 0]);
    assert.equal((await remove(0, 0xffff_ffff)).status, 0);
    assert.equal((await bench.ioctl(session, 9, buffer(0))).status, EINVAL);
  });

  describe('a lost session', () => {
    const lose = async () => {
      await start(2);
      bench.takeEvents();
      bench.node.file.ready(0x10);
      await turns();
      return bench.takeEvents().map((event) => [event.readUInt32LE(0), event.readUInt32LE(4), event.length]);
    };

    it('is told by an ERROR event where that is asked for: once, after its buffers, and it stays until CLOSE', async () => {
      bench.close();
      await boot(true);
      const told = await lose();
      assert.deepEqual(told, [
        [1, session, 608],
        [1, session, 608],
        [0, session, 16],
      ]);
      bench.node.file.ready(0x10);
      await turns();
      assert.deepEqual(bench.takeEvents(), []);
      assert.equal((await bench.ioctl(session, 2, Buffer.alloc(64))).status, ENODEV);
      assert.notEqual(await bench.open(), session, 'its id is not another one’s before CLOSE');
    });

    it('is refused every command that names it, until CLOSE', async () => {
      bench.close();
      await boot(true);
      assert.equal((await lose()).at(-1)![0], 0);
      for (const [nr, size] of [
        [2, 64],
        [8, 20],
        [15, 88],
        [72, 32],
        [93, 88],
        [103, 232],
      ] as const)
        assert.equal((await bench.ioctl(session, nr, Buffer.alloc(size))).status, ENODEV, `${nr}`);
      for (const nr of [18, 19, 90, 91])
        assert.equal((await bench.tell(session, nr, Buffer.alloc(32))).status, ENODEV, `${nr}`);
      assert.equal((await bench.command(u32(4, 0, session, 1, 0x1_0000), 24)).status, ENODEV, 'MMAP');
      for (let n = 0; n < 20; n++) assert.notEqual(await bench.open(), session);
      const close = () => bench.command(u32(2, 0, session, 0), 8);
      const EBADF = 9;
      assert.deepEqual([(await close()).status, (await close()).status], [0, EBADF]);
    });

    it('has no event of its own otherwise', async () => {
      assert.deepEqual(await lose(), [
        [1, session, 608],
        [1, session, 608],
      ]);
    });
  });
});
