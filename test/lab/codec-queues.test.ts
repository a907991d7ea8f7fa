/** A codec's queues, buffer by buffer: when each buffer comes back, and how many there are. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, EventType, Memory, requestBuffers } from '../../src/v4l2/layout.js';
import { DecoderQueues } from './support/codec-queues.js';
import { backings } from './support/codec-session.js';
import { fwhtFrames } from './support/fwht-stream.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { movingPicture } from './support/moving-picture.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, onStage } from './support/stage.js';
import { decodeNatively, encodeNatively } from './support/v4l2-ctl-codec.js';

const MODULES = ['vicodec multiplanar=0', 'vim2m', 'vivid n_devs=1 node_types=0x1'];
const SIZE = { width: 640, height: 368 };
const FRAME = (SIZE.width * SIZE.height * 3) / 2;
const START = 0;
const STOP = 1;
const EBUSY = 16;

for (const [name, options] of Object.entries(backings))
  describe(`lab: a codec's queues (${name})`, function () {
    this.timeout(120_000);
    let stream: Buffer[];
    let decoded: Buffer;

    before(function () {
      provide(this, ...MODULES);
      const raw = Buffer.concat(movingPicture(SIZE.width, SIZE.height, 6));
      const encoded = encodeNatively(nodeNamed('stateful-encoder'), SIZE, raw);
      decoded = decodeNatively(nodeNamed('stateful-decoder'), encoded);
      stream = fwhtFrames(encoded);
    });
    after(() => unload(...MODULES));

    const picture = (n: number) => decoded.subarray(n * FRAME, (n + 1) * FRAME);
    const onDecoder = (play: (decoder: DecoderQueues) => Promise<void>) =>
      onStage(nodeNamed('stateful-decoder'), options, async ({ driver }) => {
        const decoder = await DecoderQueues.open(driver, 3, SIZE);
        await play(decoder);
        await decoder.close();
      });

    /** Waits until the decoder knows its stream, then starts CAPTURE with `count` buffers. */
    async function startCapture(decoder: DecoderQueues, count: number): Promise<void> {
      await decoder.event(EventType.SOURCE_CHANGE);
      await decoder.capture.setFormat('YU12', SIZE.width, SIZE.height);
      await decoder.capture.start(count);
    }

    async function expectPicture(decoder: DecoderQueues, n: number): Promise<number> {
      const frame = await decoder.frame();
      assert.ok(Buffer.concat(decoder.capture.bytes(frame)).equals(picture(n)), `frame ${n}`);
      return frame.buffer.index;
    }

    it('OUTPUT buffers come back before there is a CAPTURE queue', () =>
      onDecoder(async (decoder) => {
        const [first] = stream;
        await decoder.feed(0, first!.subarray(0, 20));
        assert.equal(await decoder.returned(), 0, 'half a header is kept, its buffer is not');
        assert.equal(decoder.waiting.length, 0);
        await decoder.feed(1, first!.subarray(20));
        await startCapture(decoder, 2);
        await expectPicture(decoder, 0);
        assert.equal(await decoder.returned(), 1);
      }));

    it('CAPTURE grows by CREATE_BUFS while it streams', () =>
      onDecoder(async (decoder) => {
        await decoder.feed(0, stream[0]!);
        await startCapture(decoder, 2);
        await expectPicture(decoder, 0);
        const { index } = await decoder.capture.create(2);
        assert.equal(index, 2);
        await decoder.feed(1, stream[1]!);
        await expectPicture(decoder, 1);
        for (const added of [3, 2]) {
          await decoder.capture.map(added);
          await decoder.capture.queue(added);
        }
        for (const n of [2, 3]) {
          await decoder.feed(await decoder.returned(), stream[n]!);
          assert.equal(await expectPicture(decoder, n), n === 2 ? 3 : 2, 'in the order of QBUF');
        }
      }));

    it('a drain: EOS, then LAST, then silence until the stream is restarted', () =>
      onDecoder(async (decoder) => {
        const { capture, driver, session } = decoder;
        await decoder.feed(0, stream[0]!);
        await startCapture(decoder, 4);
        await decoder.feed(1, stream[1]!);
        const indices = [await expectPicture(decoder, 0), await expectPicture(decoder, 1)];
        assert.deepEqual([await decoder.returned(), await decoder.returned()], [0, 1]);
        await decoder.command(STOP);
        const last = await decoder.frame();
        assert.deepEqual([last.buffer.bytesused, last.buffer.flags & BufferFlag.LAST], [0, BufferFlag.LAST]);
        const [end] = decoder.waiting.splice(0);
        assert.ok(end?.kind === 'event' && end.event.type === EventType.EOS, 'EOS is before LAST');
        for (const index of indices) await capture.queue(index);
        await decoder.feed(2, stream[2]!);
        await sleep(500);
        assert.equal(driver.waitingEvents(session), 0);
        // vicodec goes on decoding, but DQBUF returns EPIPE as before (measured natively, Linux 7.3). So no event
        // comes.
        await decoder.command(START);
        await decoder.feed(0, stream[3]!);
        assert.deepEqual([await decoder.returned(), await decoder.returned()], [2, 0]);
        await sleep(500);
        assert.equal(driver.waitingEvents(session), 0);
        await capture.off();
        await capture.on();
        for (const index of indices) await capture.queue(index);
        await decoder.feed(0, stream[0]!);
        await expectPicture(decoder, 0);
      }));

    it('what the drain refuses is refused: STOP and START while it drains', () =>
      onDecoder(async (decoder) => {
        await decoder.feed(0, stream[0]!);
        await startCapture(decoder, 2);
        await decoder.feed(1, stream[1]!);
        const index = await expectPicture(decoder, 0);
        // Now the decoder has no buffer for LAST.
        await expectPicture(decoder, 1);
        await decoder.command(STOP);
        assert.equal(await errnoOf(decoder.command(STOP)), EBUSY);
        assert.equal(await errnoOf(decoder.command(START)), EBUSY);
        await decoder.capture.queue(index);
        assert.equal((await decoder.frame()).buffer.flags & BufferFlag.LAST, BufferFlag.LAST);
      }));

    const { VIDEO_CAPTURE, VIDEO_OUTPUT } = BufferType;
    const nodes: readonly (readonly [node: string, types: readonly number[]])[] = [
      ['stateful-encoder', [VIDEO_OUTPUT, VIDEO_CAPTURE]],
      ['stateful-decoder', [VIDEO_OUTPUT, VIDEO_CAPTURE]],
      ['vim2m', [VIDEO_OUTPUT, VIDEO_CAPTURE]],
      ['vivid-000-vid-cap', [VIDEO_CAPTURE]],
    ];
    for (const [node, types] of nodes)
      it(`REQBUFS gives as many buffers as natively: ${node}`, async () => {
        const path = nodeNamed(node);
        const asked = types.flatMap((type) => [1, 2, 3, 31].map((count) => ({ type, count })));
        const native = await NativeNode.with(path, async (each) => {
          const granted = asked.map((wish) =>
            each.call(Ioctl.REQBUFS, requestBuffers, { ...wish, memory: Memory.MMAP }),
          );
          return (await Promise.all(granted)).map(({ count }) => count);
        });
        await onStage(
          path,
          { ...options, serve: { ...options.serve, sharedMemorySize: 512 << 20 } },
          async ({ driver }) => {
            const session = await driver.open();
            const got: number[] = [];
            for (const wish of asked)
              got.push(
                (await driver.call(session, Ioctl.REQBUFS, requestBuffers, { ...wish, memory: Memory.MMAP }))
                  .count,
              );
            assert.deepEqual(got, native);
            console.log(`      ${got.join(' ')}`);
            await driver.close(session);
          },
        );
      });
  });
