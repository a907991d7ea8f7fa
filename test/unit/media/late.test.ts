/**
 * A guest repeats a request after an early answer, or sends another one. The node is a fake. late-rows.test.ts goes
 * through all rows.
 */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { MAX_LATE_BYTES, MAX_REQUEST_HANDLES } from '../../../src/media/policy.js';
import type { NodeCall } from '../../../src/native.js';
import { openDescriptors } from '../../addon/support/process.js';
import { buffer, format, turns, u32 } from './bench.js';
import { pass, startClock, stopClock } from './clock.js';
import { type Interruption, LateStage } from './support/late-stage.js';

const [S_FMT, REQBUFS, QBUF, STREAMON, STREAMOFF, CREATE_BUFS, PREPARE_BUF] = [5, 8, 15, 18, 19, 92, 93];
const [G_FMT, QUERYBUF, S_EDID, G_EXT_CTRLS, S_EXT_CTRLS, QUERY_EXT_CTRL, ALLOC] = [
  4, 9, 41, 71, 72, 103, 192,
];
const HAS_PAYLOAD = 0x100;
const [EBUSY, ETIMEDOUT] = [16, 110];
const [CAPTURE, OUTPUT] = [1, 2];
const [MMAP, USERPTR] = [1, 2];
const ERROR = 0x40;
const PAGES = 0x10_0000;
const ways: readonly Interruption[] = ['EINTR', 'ETIMEDOUT'];

describe('late results', () => {
  let stage: LateStage;
  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(stopClock);
  afterEach(() => {
    stage.close();
    startClock();
  });

  const isNr = (nr: number) => (call: NodeCall) => 'nr' in call && call.nr === nr;
  const open = async (count: number, memory = MMAP, host: readonly number[] = [MMAP, USERPTR]) => {
    stage = await LateStage.open({ sharedPages: true });
    stage.bench.node.memories = [...host];
    assert.equal((await ioctl(REQBUFS, u32(count, CAPTURE, memory, 0, 0))).status, 0);
  };
  const ioctl = (nr: number, payload: Uint8Array) => stage.bench.ioctl(stage.session, nr, payload);
  const streamOn = async () => {
    assert.equal((await stage.bench.tell(stage.session, STREAMON, u32(CAPTURE))).status, 0);
    await turns();
  };
  const late = (nr: number, payload: Uint8Array, by: Interruption) => {
    stage.slow(isNr(nr));
    return stage.interrupted(stage.request(nr, payload), 8 + payload.length, by);
  };
  /** Index of every frame that has arrived, and whether it is damaged. */
  const frames = () =>
    stage.bench
      .takeEvents()
      .map((event) => [event.readUInt32LE(8), (event.readUInt32LE(20) & ERROR) !== 0] as const);
  const finish = async () => {
    while (stage.bench.node.file.queued.length > 0) stage.bench.node.file.frame();
    await turns(20);
  };

  for (const by of ways) {
    describe(`STREAMON, ${by}`, () => {
      it('tried again streams with the buffers that are queued, and no frame comes before its answer', async () => {
        await open(2);
        for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
        await late(STREAMON, u32(CAPTURE), by);
        const { file } = stage.bench.node;
        file.frame();
        await turns(20);
        assert.deepEqual(frames(), [], 'the guest believes that it does not stream');
        await streamOn();
        await finish();
        assert.deepEqual(
          frames(),
          [0, 1].map((index) => [index, false]),
        );
        assert.deepEqual([file.asked(STREAMON).length, file.asked(STREAMOFF).length], [1, 0]);
      });

      it('of a stream that runs leaves it running', async () => {
        await open(2);
        for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
        await streamOn();
        await late(STREAMON, u32(CAPTURE), by);
        await finish();
        assert.equal(frames().length, 2);
      });
    });

    describe(`CREATE_BUFS, ${by}`, () => {
      const create = (count: number) => {
        const record = Buffer.alloc(256);
        record.set(u32(0, count, MMAP, 0, CAPTURE));
        record.writeUInt32LE(1000, 16 + 8 + 20);
        return record;
      };
      for (const count of [1, 0])
        it(`of ${count}: the buffers of before are there, and others come behind them`, async () => {
          await open(4);
          await late(CREATE_BUFS, create(count), by);
          assert.equal((await ioctl(QUERYBUF, buffer(0))).status, 0);
          const { status, payload } = await ioctl(CREATE_BUFS, create(1));
          assert.deepEqual([status, payload.readUInt32LE(0)], [0, 4 + count]);
        });

      it('of a stream that runs: its frames come, and its memory is nobody else’s', async () => {
        await open(2);
        for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
        await streamOn();
        await late(CREATE_BUFS, create(1), by);
        const slots = [...stage.record.queues.get(CAPTURE)!.buffers.values()].flatMap(({ planes }) => planes);
        assert.ok(slots.every(({ slot }) => slot));
        await finish();
        assert.equal(frames().length, 2);
        stage.compare();
      });
    });

    describe(`QBUF, ${by}`, () => {
      const given = (index: number, page = index) => {
        const record = buffer(index);
        record.writeUInt32LE(USERPTR, 60);
        record.writeBigUInt64LE(BigInt(0x7f00_0000_0000 + 4096 * page), 64);
        record.writeUInt32LE(1000, 72);
        const address = stage.bench.commands.put(PAGES + 4096 * page, Buffer.alloc(1000));
        return Buffer.concat([record, u32(address, 0, 1000, 0)]);
      };

      it('tried again has the frame that came meanwhile, once', async () => {
        await open(2);
        await ioctl(QBUF, buffer(0));
        await streamOn();
        await late(QBUF, buffer(1), by);
        await finish();
        assert.deepEqual(frames(), [[0, false]], 'the guest believes that it has the other');
        assert.equal((await ioctl(QBUF, buffer(1))).status, 0);
        await turns();
        assert.deepEqual(frames(), [[1, false]]);
        assert.equal(stage.bench.node.file.asked(QBUF).length, 2);
      });

      it('not tried again is no frame, and the buffer may be queued anew', async () => {
        await open(2);
        await ioctl(QBUF, buffer(0));
        await streamOn();
        await late(QBUF, buffer(1), by);
        await ioctl(G_FMT, format);
        await finish();
        assert.deepEqual(frames(), [[0, false]]);
        assert.equal((await ioctl(QBUF, buffer(1))).status, 0);
        await finish();
        assert.deepEqual(frames(), [[1, false]]);
      });

      for (const [way, host] of [
        ['pages-userptr', [MMAP, USERPTR]],
        ['pages-copy', [MMAP]],
      ] as const) {
        it(`of pages, ${way}, tried again: the stream goes on`, async () => {
          await open(3, USERPTR, host);
          assert.equal((await ioctl(QBUF, given(0))).status, 0);
          await streamOn();
          await late(QBUF, given(1), by);
          assert.equal((await ioctl(QBUF, given(1))).status, 0);
          await finish();
          assert.deepEqual(
            frames(),
            [0, 1].map((index) => [index, false]),
          );
          assert.equal(stage.bench.node.file.streaming, true);
        });

        it(`of pages, ${way}, not tried again: the hardware does not keep them, and the other buffer is a frame`, async () => {
          await open(3, USERPTR, host);
          assert.equal((await ioctl(QBUF, given(0))).status, 0);
          await streamOn();
          await late(QBUF, given(1), by);
          await ioctl(G_FMT, format);
          const { file } = stage.bench.node;
          assert.deepEqual(file.queued, way === 'pages-userptr' ? [0] : [0, 1]);
          await finish();
          assert.deepEqual(frames(), [[0, false]]);
          assert.equal((await ioctl(QBUF, given(1, 5))).status, 0);
          await finish();
          assert.deepEqual(frames(), [[1, false]]);
        });
      }

      it('of pages, and the guest does nothing more: ten seconds later the hardware leaves them, and streams on', async () => {
        await open(3, USERPTR, [MMAP, USERPTR]);
        assert.equal((await ioctl(QBUF, given(0))).status, 0);
        await streamOn();
        await late(QBUF, given(1), by);
        const { file } = stage.bench.node;
        pass(9_900);
        await turns();
        assert.deepEqual(file.queued, [0, 1]);
        pass(100);
        await turns();
        assert.deepEqual([file.queued, file.streaming], [[0], true]);
        await finish();
        assert.deepEqual(frames(), [[0, false]]);
      });

      it('of an OUTPUT buffer, then one with other bytes: the driver gets those, and the others that it had', async () => {
        stage = await LateStage.open();
        const output = (index: number, bytesused: number) => {
          const record = buffer(index);
          record.writeUInt32LE(OUTPUT, 4);
          record.writeUInt32LE(bytesused, 8);
          return record;
        };
        assert.equal((await ioctl(REQBUFS, u32(2, OUTPUT, MMAP, 0, 0))).status, 0);
        assert.equal((await ioctl(QBUF, output(1, 50))).status, 0);
        await late(QBUF, output(0, 100), by);
        assert.equal((await ioctl(QBUF, output(0, 200))).status, 0);
        const { file } = stage.bench.node;
        const asked = file.asked(QBUF) as (NodeCall & { kind: 'buffer' })[];
        assert.deepEqual(file.queued, [1, 0]);
        assert.equal(Buffer.from(asked.at(-1)!.buffer).readUInt32LE(8), 200);
        assert.equal(Buffer.from(asked.at(-2)!.buffer).readUInt32LE(8), 50, 'queued again');
      });

      it('of an OUTPUT picture that was painted over meanwhile: the driver gets what is there now', async () => {
        stage = await LateStage.open();
        stage.bench.node.memories = [MMAP];
        const record = buffer(0);
        record.writeUInt32LE(OUTPUT, 4);
        record.writeUInt32LE(100, 8);
        assert.equal((await ioctl(REQBUFS, u32(1, OUTPUT, MMAP, 0, 0))).status, 0);
        const [plane] = stage.record.queues.get(OUTPUT)!.buffers.get(0)!.planes;
        const paint = (value: number) => {
          const { region, offset } = stage.record.context.shared.memory(plane!.slot!);
          new Uint8Array(region.windows[0]!, offset, 100).fill(value);
        };
        const shown = () => new Uint8Array(plane!.host!.windows[0]!)[99];
        for (const [painted, executed] of [
          [1, 1],
          [2, 2],
        ] as const) {
          paint(1);
          await late(QBUF, record, by);
          paint(painted);
          assert.equal((await ioctl(QBUF, record)).status, 0);
          assert.deepEqual([stage.executed, shown()], [executed, painted]);
          assert.equal((await stage.bench.tell(stage.session, STREAMOFF, u32(OUTPUT))).status, 0);
        }
      });

      it('PREPARE_BUF of pages, then QBUF of others: the driver gets those', async () => {
        await open(1, USERPTR);
        await late(PREPARE_BUF, given(0, 10), by);
        const { status, payload } = await ioctl(QBUF, given(0, 20));
        assert.equal(status, 0);
        assert.equal(payload.readBigUInt64LE(64), BigInt(0x7f00_0000_0000 + 4096 * 20));
        const placeOf = (nr: number) =>
          (stage.bench.node.file.asked(nr).at(-1) as NodeCall & { kind: 'buffer' }).memory![0]!.region;
        assert.notEqual(placeOf(QBUF), placeOf(PREPARE_BUF));
        assert.equal(stage.bench.node.file.asked(STREAMOFF).length, 1, 'nothing else unprepares it');
      });
    });

    it(`STREAMOFF, ${by}: a guest that believes in the stream gets its buffers, as damaged ones`, async () => {
      await open(2);
      for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
      await streamOn();
      await late(STREAMOFF, u32(CAPTURE), by);
      assert.deepEqual(
        frames(),
        [0, 1].map((index) => [index, true]),
      );
      assert.equal((await stage.bench.tell(stage.session, STREAMOFF, u32(CAPTURE))).status, 0);
      assert.equal(stage.bench.node.file.asked(STREAMOFF).length, 1);
    });
  }

  it('a retry that is interrupted too changes nothing: no buffer comes twice', async () => {
    await open(2);
    for (const index of [0, 1]) await ioctl(QBUF, buffer(index));
    await streamOn();
    await late(STREAMOFF, u32(CAPTURE), 'EINTR');
    // The answer waits, because the guest has not given the events back yet.
    const head = stage.bench.offer(stage.request(STREAMOFF, u32(CAPTURE)), 8);
    await turns();
    assert.equal(stage.bench.answered(head), null);
    stage.interrupt('EINTR');
    await turns();
    assert.equal(stage.bench.answered(head)?.status, 4);
    assert.equal(frames().length, 2);
    assert.equal((await stage.bench.tell(stage.session, STREAMOFF, u32(CAPTURE))).status, 0);
    await turns();
    assert.equal(frames().length, 0);
    assert.equal(stage.bench.node.file.asked(STREAMOFF).length, 1);
  });

  it('S_FMT of 4.2 s: refused at 4 s, and there at the next try', async () => {
    stage = await LateStage.open();
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
      stage = await LateStage.open();
      await late(G_FMT, format, 'ETIMEDOUT');
      pass(ms);
      assert.equal((await ioctl(G_FMT, format)).status, 0);
      assert.equal(stage.executed, executed);
    });

  it('of more than 64 KiB is not kept', async () => {
    stage = await LateStage.open();
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
    stage = await LateStage.open();
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
    stage = await LateStage.open();
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
    stage = await LateStage.open();
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
    stage = await LateStage.open();
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
    stage = await LateStage.open({ requests: { mode: 'handles', media: { fd: 77 } } });
    stage.slow(({ kind }) => kind === 'allocateRequest');
    const before = openDescriptors();
    const request = stage.request(ALLOC, Buffer.alloc(0));
    for (let n = 0; n < MAX_REQUEST_HANDLES; n++) await stage.interrupted(request, 12, 'EINTR');
    assert.equal((await stage.bench.command(request, 12)).status, 0);
    assert.equal(openDescriptors(), before + 1);
  });

  it('a REQBUFS that a stream refuses is refused again, without asking', async () => {
    await open(1);
    stage.bench.node.ioctls.set(REQBUFS, () => EBUSY);
    await late(REQBUFS, u32(2, CAPTURE, MMAP, 0, 0), 'EINTR');
    assert.equal((await ioctl(REQBUFS, u32(2, CAPTURE, MMAP, 0, 0))).status, EBUSY);
    assert.equal(stage.executed, 1);
    stage.compare();
  });
});
