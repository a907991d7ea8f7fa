/**
 * v4l2loopback through the bridge: a driver with its own queue implementation and only MMAP, which another program of
 * the host feeds.
 */
import assert from 'node:assert/strict';
import type { BufferRecord } from '../../src/client/event-lane.js';
import type { VmmName } from '../../src/client/vmm-transcripts.js';
import type { MmapMode } from '../../src/media/memory/shared-memory.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, Memory } from '../../src/v4l2/layout.js';
import { eventually, mappingsOf } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { LoopbackWriter } from './support/loopback-writer.js';
import { type AnyQueue, HostQueue, start } from './support/native-mmap-queue.js';
import { NativeNode } from './support/native-node.js';
import { numberedPicture, numberOf, verifyPicture } from './support/numbered-picture.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';

const BUFFERS = 4;
const LABEL = 'a-loopback';
const LOOPBACK = `v4l2loopback devices=1 max_buffers=${BUFFERS} card_label=${LABEL}`;
const WIDTH = 320;
const HEIGHT = 180;
const FRAME_BYTES = WIDTH * HEIGHT * 2;
const FIELD_NONE = 1;
const { VIDEO_CAPTURE, VIDEO_OUTPUT } = BufferType;

/** The driver has no EXPBUF, so a bridge in direct mode uses the arena as well. */
interface Way {
  readonly name: string;
  readonly mmap: MmapMode;
  readonly vmm: VmmName;
}
const ways: readonly Way[] = [
  { name: 'arena', mmap: 'arena', vmm: 'qemu' },
  { name: 'direct falls back to the arena', mmap: 'direct', vmm: 'crosvm' },
];

const picture = (frame: number) => numberedPicture(frame, FRAME_BYTES);

function same(queue: AnyQueue, { index, bytesused }: BufferRecord, frame: number): void {
  assert.equal(bytesused, FRAME_BYTES);
  verifyPicture(queue.view(index)[0]!.subarray(0, bytesused), frame);
}

/**
 * Renumbers the buffers from the first one, because the buffer in which a stream begins depends on how many frames
 * there have been.
 */
function rotated(told: readonly { index: number }[]): object[] {
  return told.map((each) => ({ ...each, index: (each.index - told[0]!.index + BUFFERS) % BUFFERS }));
}

describe('lab: v4l2loopback', function () {
  this.timeout(30_000);
  let path: string;

  before(function () {
    provide(this, LOOPBACK);
    path = nodeNamed(LABEL);
  });
  beforeEach(keepJournal);
  afterEach(async function () {
    showJournal(this.currentTest);
    if (this.currentTest?.state === 'failed') return;
    assert.ok(await eventually(() => mappingsOf(path) === 0), 'the node is still mapped');
  });
  after(() => unload(LOOPBACK));

  const guestQueue = async ({ driver }: Stage, type: number) =>
    new GuestQueue(driver, await driver.open(), type);
  const onWay = ({ mmap, vmm }: Way, play: (stage: Stage) => Promise<void>) =>
    onStage(path, { frontEnd: { vmm }, serve: { mmap } }, play);
  const throughBridge = <T>(way: Way, type: number, play: (queue: AnyQueue) => Promise<T>) => {
    let result: Promise<T>;
    return onWay(way, async (stage) => {
      result = play(await guestQueue(stage, type));
      await result;
    }).then(() => result);
  };
  /**
   * Waits until nothing is mapped: nobody else can request buffers while they are mapped, and a mapping is removed some
   * time after its region is closed.
   */
  const natively = async <T>(type: number, play: (queue: AnyQueue) => Promise<T>): Promise<T> => {
    const result = await NativeNode.with(path, (node) => HostQueue.with(node, type, play));
    assert.ok(await eventually(() => mappingsOf(path) === 0));
    return result;
  };

  async function withWriter<T>(play: (writer: LoopbackWriter) => Promise<T>): Promise<T> {
    const writer = await LoopbackWriter.open(path, WIDTH, HEIGHT);
    try {
      return await play(writer);
    } finally {
      await writer.close();
    }
  }

  /** Starts a stream. It contains no older frames except the newest one, which comes at once. */
  async function begin(queue: AnyQueue, writer: LoopbackWriter): Promise<number> {
    for (let frame = 0; frame <= BUFFERS; frame++) writer.write(picture(frame));
    const granted = await start(queue, BUFFERS);
    const { buffer } = await queue.next();
    same(queue, buffer, BUFFERS);
    await queue.queue(buffer.index);
    return granted;
  }

  /**
   * Writes and reads frame by frame. Checks that each shows what was written, and returns the record of each buffer.
   */
  async function readAlong(queue: AnyQueue, writer: LoopbackWriter, first: number, count: number) {
    const told: Pick<BufferRecord, 'index' | 'bytesused' | 'field' | 'memory' | 'length' | 'flags'>[] = [];
    for (let frame = first; frame < first + count; frame++) {
      writer.write(picture(frame));
      const { buffer } = await queue.next();
      const { index, bytesused, field, memory, length } = buffer;
      told.push({ index, bytesused, field, memory, length, flags: buffer.flags & ~BufferFlag.MAPPED });
      same(queue, buffer, frame);
      await queue.queue(index);
    }
    return told;
  }

  async function end(queue: AnyQueue): Promise<void> {
    await queue.off();
    await queue.release();
  }

  /** Sends frames in each buffer several times. A reader takes them, which may begin with any of the first frames. */
  async function feed(output: AnyQueue): Promise<void> {
    await output.setFormat('YUYV', WIDTH, HEIGHT);
    await output.request(BUFFERS);
    const read = async (input: HostQueue) => {
      await input.request(BUFFERS);
      for (const queue of [output, input])
        for (let index = 0; index < BUFFERS; index++) await queue.map(index);
      for (let index = 0; index < BUFFERS; index++) await input.queue(index);
      const send = async (index: number, frame: number) => {
        output.view(index)[0]!.set(picture(frame));
        await output.queue(index, { bytesused: FRAME_BYTES, field: FIELD_NONE });
      };
      const receive = async () => {
        const { buffer } = await input.next();
        const frame = numberOf(input.view(buffer.index)[0]!);
        same(input, buffer, frame);
        await input.queue(buffer.index);
        return frame;
      };
      await output.on();
      await input.on();
      for (let frame = 0; frame < BUFFERS; frame++) await send(frame, frame);
      while ((await receive()) !== BUFFERS - 1);
      for (let frame = BUFFERS; frame < 4 * BUFFERS; frame++) {
        const { index } = (await output.next()).buffer;
        assert.equal(index, frame % BUFFERS);
        await send(index, frame);
        assert.equal(await receive(), frame);
      }
      await end(input);
    };
    await NativeNode.with(path, (node) => HostQueue.with(node, VIDEO_CAPTURE, read));
    await end(output);
  }

  for (const way of ways) {
    it(`${way.name}: every byte of every frame, with one copy`, () =>
      withWriter((writer) =>
        onWay(way, async (stage) => {
          const queue = await guestQueue(stage, VIDEO_CAPTURE);
          await queue.setFormat('YUYV', WIDTH, HEIGHT);
          assert.equal(await begin(queue, writer), BUFFERS);
          assert.equal(stage.frontEnd.sharedMemory.mapped, 1, 'the arena');
          assert.equal(mappingsOf(path), BUFFERS, 'the buffers that are copied');
          await readAlong(queue, writer, 10, 3 * BUFFERS);
          await end(queue);
        }),
      ));

    it(`${way.name}: a reader is told what it is told natively, frame by frame`, async () => {
      const play = (queue: AnyQueue) =>
        withWriter(async (writer) => {
          await begin(queue, writer);
          const told = await readAlong(queue, writer, 10, 2 * BUFFERS);
          await end(queue);
          return told;
        });
      const own = await natively(VIDEO_CAPTURE, play);
      assert.deepEqual(rotated(await throughBridge(way, VIDEO_CAPTURE, play)), rotated(own));
    });

    it(`${way.name}: a guest feeds it, a program of the host reads`, async () => {
      await natively(VIDEO_OUTPUT, feed);
      await throughBridge(way, VIDEO_OUTPUT, feed);
    });
  }

  // Natively this reader gets the buffer that it keeps and sees it change, because the driver ignores which buffers are
  // queued.
  it('a buffer that the reader keeps is not given to it again, and stays as it is', () =>
    withWriter((writer) =>
      onWay(ways[0]!, async (stage) => {
        const queue = await guestQueue(stage, VIDEO_CAPTURE);
        await begin(queue, writer);
        writer.write(picture(10));
        const { buffer: kept } = await queue.next();
        for (let frame = 11; frame < 11 + 3 * BUFFERS; frame++) {
          writer.write(picture(frame));
          if ((frame - 10) % BUFFERS === 0) continue;
          for (let last = 0; last !== frame; ) {
            const { buffer } = await queue.next();
            assert.notEqual(buffer.index, kept.index);
            last = numberOf(queue.view(buffer.index)[0]!);
            same(queue, buffer, last);
            await queue.queue(buffer.index);
          }
        }
        same(queue, kept, 10);
        await end(queue);
      }),
    ));

  it('one writer: another one is refused as natively, and may come when the first has gone', () =>
    onWay(ways[0]!, async (stage) => {
      const queue = await guestQueue(stage, VIDEO_OUTPUT);
      await withWriter(async (writer) => {
        writer.write(picture(1));
        const own = await NativeNode.with(path, (node) => node.request(2, VIDEO_OUTPUT));
        assert.notEqual(own, 0);
        assert.equal(await errnoOf(queue.request(2)), own);
      });
      await queue.setFormat('YUYV', WIDTH, HEIGHT);
      assert.equal((await queue.request(2)).count, 2);
      await queue.request(0);
    }));

  it('without a writer STREAMON is refused as natively', () =>
    onWay(ways[0]!, async (stage) => {
      const queue = await guestQueue(stage, VIDEO_CAPTURE);
      const own = await NativeNode.with(path, async (node) => {
        await node.request(2, VIDEO_CAPTURE);
        return (await node.ioctl(Ioctl.STREAMON, Buffer.from([VIDEO_CAPTURE, 0, 0, 0]))).errno;
      });
      assert.notEqual(own, 0);
      await queue.request(2);
      assert.equal(await errnoOf(queue.on()), own);
    }));

  it('a writer that goes and comes again: the reader gets on, as natively', async () => {
    const play = async (queue: AnyQueue) => {
      await withWriter(async (writer) => {
        await begin(queue, writer);
        await readAlong(queue, writer, 10, 3);
      });
      await withWriter((writer) => readAlong(queue, writer, 20, 3));
      await end(queue);
    };
    await natively(VIDEO_CAPTURE, play);
    await throughBridge(ways[0]!, VIDEO_CAPTURE, play);
  });

  it('other memory than MMAP is refused', () =>
    onWay(ways[0]!, async (stage) => {
      const queue = await guestQueue(stage, VIDEO_CAPTURE);
      for (const memory of [Memory.USERPTR, Memory.DMABUF])
        assert.notEqual(await errnoOf(queue.request(2, memory)), 0);
    }));
});
