/** A guest repeats QBUF or PREPARE_BUF after an early answer, or queues another buffer. The node is a fake. */
import assert from 'node:assert/strict';
import type { NodeCall } from '../../../src/native.js';
import { buffer, format, turns, u32 } from './bench.js';
import { pass } from './clock.js';
import type { Interruption, LateStage } from './support/late-stage.js';
import { lateSuite } from './support/late-suite.js';

const [REQBUFS, QBUF, STREAMOFF, PREPARE_BUF] = [8, 15, 19, 93];
const G_FMT = 4;
const OUTPUT = 2;
const [MMAP, USERPTR] = [1, 2];
const PAGES = 0x10_0000;
const ways: readonly Interruption[] = ['EINTR', 'ETIMEDOUT'];

describe('late QBUF', () => {
  let stage: LateStage;
  const { openStage, open, ioctl, streamOn, late, frames, finish } = lateSuite((made) => {
    stage = made;
  });

  for (const by of ways) {
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
        await openStage();
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
        await openStage();
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
  }
});
