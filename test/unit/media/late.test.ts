/**
 * A result that comes after its answer: how long it is kept, for whom, and what is never kept. The node is a fake.
 * late-rows.test.ts goes through all rows.
 */
import assert from 'node:assert/strict';
import { MAX_LATE_BYTES, MAX_REQUEST_HANDLES } from '../../../src/media/policy.js';
import { openDescriptors } from '../../addon/support/process.js';
import { buffer, format, turns, u32 } from './bench.js';
import { pass } from './clock.js';
import type { LateStage } from './support/late-stage.js';
import { isNr, lateSuite } from './support/late-suite.js';

const S_FMT = 5;
const [G_FMT, QUERYBUF, S_EDID, G_EXT_CTRLS, S_EXT_CTRLS, QUERY_EXT_CTRL, ALLOC] = [
  4, 9, 41, 71, 72, 103, 192,
];
const HAS_PAYLOAD = 0x100;
const ETIMEDOUT = 110;
const CAPTURE = 1;
const PAGES = 0x10_0000;

describe('late results', () => {
  let stage: LateStage;
  const { openStage, open, ioctl, late } = lateSuite((made) => {
    stage = made;
  });

  it('S_FMT of 4.2 s: refused at 4 s, and there at the next try', async () => {
    await openStage();
    let open = () => {};
    const slow = new Promise<void>((resolve) => {
      open = resolve;
    });
    let asked = 0;
    stage.bench.node.ioctls.set(S_FMT, async (payload) => {
      asked++;
      await slow;
      payload.writeUInt32LE(640, 8);
      return 0;
    });
    const head = stage.bench.offer(stage.request(S_FMT, format), 216);
    await turns();
    pass(4000);
    await turns();
    assert.equal(stage.bench.answered(head)?.status, ETIMEDOUT);
    assert.equal((await ioctl(S_FMT, format)).status, ETIMEDOUT, 'not yet');
    open();
    await turns(20);
    const { status, payload } = await ioctl(S_FMT, format);
    assert.deepEqual([status, payload.readUInt32LE(8), asked], [0, 640, 1]);
    await ioctl(S_FMT, format);
    assert.equal(asked, 2, 'a result is given once');
  });

  for (const [ms, executed] of [
    [9_000, 1],
    [11_000, 2],
  ] as const)
    it(`is kept for ten seconds: after ${ms / 1000} there are ${executed} ioctls`, async () => {
      await openStage();
      await late(G_FMT, format, 'ETIMEDOUT');
      pass(ms);
      assert.equal((await ioctl(G_FMT, format)).status, 0);
      assert.equal(stage.executed, executed);
    });

  it('of more than 64 KiB is not kept', async () => {
    await openStage();
    const record = Buffer.alloc(40);
    const edid = (blocks: number) => {
      record.writeUInt32LE(blocks, 8);
      return Buffer.concat([record, Buffer.alloc(blocks * 128)]);
    };
    await late(S_EDID, edid(1), 'EINTR');
    await ioctl(S_EDID, edid(1));
    assert.equal(stage.executed, 1);
    stage.record.late.keep(Buffer.from('a request'), {
      status: 0,
      payload: [Buffer.alloc(MAX_LATE_BYTES + 1)],
    });
    assert.ok(stage.record.late.isEmpty);
  });

  it('of controls with payloads is given into the pages of the next try, as long as these say what was set', async () => {
    await openStage();
    const { commands } = stage.bench;
    stage.bench.node.ioctls.set(QUERY_EXT_CTRL, (payload) => {
      payload.writeUInt32LE(HAS_PAYLOAD, 72);
      return 0;
    });
    stage.bench.node.controls = ({ nr, payloads }) => {
      if (nr === G_EXT_CTRLS) payloads[0]!.fill(7);
      return 0;
    };
    const page = commands.put(PAGES, Buffer.alloc(8, 1));
    const request = Buffer.concat([
      u32(0, 1, 0, 0, 0, 0, 0, 0),
      u32(0x0098_0900, 8, 0, 0, 0),
      u32(page, 0, 8, 0),
    ]);
    await late(G_EXT_CTRLS, request, 'EINTR');
    assert.equal(commands.seen(PAGES, 8)[0], 1, 'nothing is written behind the guest’s back');
    assert.equal((await ioctl(G_EXT_CTRLS, request)).status, 0);
    assert.deepEqual([commands.seen(PAGES, 8)[0], stage.executed], [7, 1]);
    for (const [value, executed] of [
      [7, 1],
      [8, 2],
    ] as const) {
      await late(S_EXT_CTRLS, request, 'ETIMEDOUT');
      commands.put(PAGES, Buffer.alloc(8, value));
      assert.equal((await ioctl(S_EXT_CTRLS, request)).status, 0);
      assert.equal(stage.executed, executed, `the page says ${value}`);
    }
  });

  it('is not another session’s', async () => {
    await openStage();
    await late(G_FMT, format, 'EINTR');
    const other = await stage.bench.open();
    assert.equal((await stage.bench.ioctl(other, G_FMT, format)).status, 0);
    assert.equal(stage.bench.node.file.asked(G_FMT).length, 1, 'its own file was asked');
    assert.equal((await ioctl(G_FMT, format)).status, 0);
    assert.equal(stage.executed, 1, 'and the result is still there');
  });

  describe('MMAP', () => {
    const mapped = () => [...stage.record.queues.get(CAPTURE)!.buffers.values()][0]!.planes[0]!.slot!;
    const begin = async () => {
      await open(1);
      stage.bench.transport.errno = null;
      const cookie = (await ioctl(QUERYBUF, buffer(0))).payload.readUInt32LE(64);
      const request = u32(4, 0, stage.session, 1, cookie);
      const head = stage.bench.offer(request, 24);
      await turns();
      pass(4000);
      await turns();
      assert.equal(stage.bench.answered(head)?.status, ETIMEDOUT);
      return request;
    };
    const end = async () => {
      while (stage.bench.transport.waiting > 0) stage.bench.transport.answer(0);
      stage.bench.transport.errno = 0;
      await turns(20);
    };

    it('that hangs: what follows is answered at once, another MMAP too', async () => {
      const request = await begin();
      const heads = [stage.bench.offer(stage.request(G_FMT, format), 216), stage.bench.offer(request, 24)];
      await turns();
      assert.deepEqual(
        heads.map((head) => stage.bench.answered(head)?.status),
        [ETIMEDOUT, ETIMEDOUT],
      );
      await end();
    });

    it('tried again has one reference, given up has none', async () => {
      const request = await begin();
      await end();
      assert.equal((await stage.bench.command(request, 24)).status, 0);
      assert.equal(mapped().references, 1);
      stage.close();
      await begin();
      await end();
      assert.equal((await ioctl(G_FMT, format)).status, 0);
      assert.equal(mapped().references, 0);
    });

    it('behind an ioctl that hangs is answered at once, and keeps no memory', async () => {
      await open(1);
      stage.slow(isNr(G_FMT));
      const cookie = (await ioctl(QUERYBUF, buffer(0))).payload.readUInt32LE(64);
      const release = stage.bench.node.hold();
      stage.bench.offer(stage.request(G_FMT, format), 216);
      pass(4000);
      await turns();
      const head = stage.bench.offer(u32(4, 0, stage.session, 1, cookie), 24);
      await turns();
      assert.equal(stage.bench.answered(head)?.status, ETIMEDOUT);
      release();
    });
  });

  it('a fault of ours is no device that hangs: the session goes on', async () => {
    await openStage();
    let fail = () => {};
    stage.bench.node.ioctls.set(
      G_FMT,
      () =>
        new Promise((_, reject) => {
          fail = () => reject(new Error('a bug'));
        }),
    );
    const head = stage.bench.offer(stage.request(G_FMT, format), 216);
    await turns();
    pass(4000);
    await turns();
    assert.equal(stage.bench.answered(head)?.status, ETIMEDOUT);
    fail();
    await turns();
    stage.bench.node.ioctls.delete(G_FMT);
    assert.equal((await ioctl(G_FMT, format)).status, 0);
  });

  it('a request that is answered while it waits is not kept', async () => {
    await openStage();
    stage.slow(isNr(G_FMT));
    const release = stage.bench.node.hold();
    const heads = [0, 1, 2].map(() => stage.bench.offer(stage.request(G_FMT, format), 216));
    await turns();
    assert.equal(stage.record.sequence.waiting, 2);
    pass(4000);
    await turns();
    assert.deepEqual(
      heads.map((head) => stage.bench.answered(head)?.status),
      [ETIMEDOUT, ETIMEDOUT, ETIMEDOUT],
    );
    assert.equal(stage.record.sequence.waiting, 0);
    release();
    await turns();
  });

  it('REQUEST_ALLOC that ends late leaves no handle and no descriptor, however often', async () => {
    await openStage({ requests: { mode: 'handles', media: { fd: 77 } } });
    stage.slow(({ kind }) => kind === 'allocateRequest');
    const before = openDescriptors();
    const request = stage.request(ALLOC, Buffer.alloc(0));
    for (let n = 0; n < MAX_REQUEST_HANDLES; n++) await stage.interrupted(request, 12, 'EINTR');
    assert.equal((await stage.bench.command(request, 12)).status, 0);
    assert.equal(openDescriptors(), before + 1);
  });
});
