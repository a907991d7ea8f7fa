/** A USB webcam through the bridge, on the kernel's own uvcvideo: frames, metadata, controls, and faults. */
import assert from 'node:assert/strict';
import type { VmmName } from '../../src/client/vmm-transcripts.js';
import { Errno } from '../../src/errno.js';
import type { MmapMode } from '../../src/media/memory/shared-memory.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, fmtdesc, format as formatRecord } from '../../src/v4l2/layout.js';
import { mappingsOf } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { type DqbufEvent, GuestQueue } from './support/guest-queue.js';
import { NativeNode } from './support/native-node.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';
import { UsbCamera } from './support/usb-camera.js';
import { verifyMjpeg, verifyYuy2 } from './support/usb-camera-frame.js';

const WIDTH = 320;
const HEIGHT = 180;
const FRAME_BYTES = WIDTH * HEIGHT * 2;
/** Bytes of picture in a payload, and of its header, as in usb-camera/uvc.h and video_pipe.h. */
const PAYLOAD = 16_384 - 12;
const HEADER = 12;
const BUFFERS = 4;

const ways: readonly { name: string; mmap: MmapMode; vmm: VmmName; mapped: number }[] = [
  { name: 'arena, zero copy', mmap: 'arena', vmm: 'qemu', mapped: 1 },
  { name: 'direct', mmap: 'direct', vmm: 'crosvm', mapped: BUFFERS },
];
type Way = (typeof ways)[number];

describe('lab: uvcvideo', function () {
  this.timeout(60_000);
  let camera: UsbCamera;

  before(async function () {
    camera = await UsbCamera.plugIn(this);
  });
  beforeEach(keepJournal);
  afterEach(async function () {
    showJournal(this.currentTest);
    await camera.heal();
  });
  after(() => camera?.end());

  const onCamera = (way: Way, play: (stage: Stage) => Promise<void>) =>
    onStage(camera.node, { frontEnd: { vmm: way.vmm }, serve: { mmap: way.mmap } }, play);

  async function openQueue({ driver }: Stage, fourcc: string, width = WIDTH, height = HEIGHT) {
    const queue = GuestQueue.ofCamera(driver, await driver.open());
    await queue.setFormat(fourcc, width, height);
    return queue;
  }

  /**
   * Checks frames. The camera counts its frames, and uvcvideo counts those that arrive. A stale or skipped frame
   * changes the difference.
   */
  async function frames(
    queue: GuestQueue,
    count: number,
    look: (frame: DqbufEvent) => number,
  ): Promise<void> {
    let lead: number | undefined;
    for (let n = 0; n < count; n++) {
      const frame = await queue.next();
      assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
      const ahead = look(frame) - frame.buffer.sequence;
      lead ??= ahead;
      assert.equal(ahead, lead, `frame ${frame.buffer.sequence} of the stream shows another one`);
      await queue.queue(frame.buffer.index);
    }
  }

  for (const way of ways) {
    it(`${way.name}: every byte of every frame`, () =>
      onCamera(way, async (stage) => {
        const queue = await openQueue(stage, 'YUYV');
        await queue.start(BUFFERS);
        assert.equal(stage.frontEnd.sharedMemory.mapped, way.mapped);
        await frames(queue, 40, (frame) => verifyYuy2(queue.bytes(frame)[0]!, FRAME_BYTES));
        assert.equal(mappingsOf(camera.node), 0, 'the bridge has mapped the node: it copies');
        await queue.off();
        await queue.release();
      }));

    it(`${way.name}: a camera that the kernel has suspended wakes up for a stream`, () =>
      onCamera(way, async (stage) => {
        await camera.fallAsleep();
        try {
          const queue = await openQueue(stage, 'YUYV');
          await queue.start(BUFFERS);
          await frames(queue, 10, (frame) => verifyYuy2(queue.bytes(frame)[0]!, FRAME_BYTES));
          await queue.off();
        } finally {
          camera.stayAwake();
        }
      }));

    it(`${way.name}: MJPEG, each frame as long as it is`, () =>
      onCamera(way, async (stage) => {
        const queue = await openQueue(stage, 'MJPG');
        await queue.start(BUFFERS);
        const lengths = new Set<number>();
        await frames(queue, 6, (frame) => {
          lengths.add(frame.buffer.bytesused);
          return verifyMjpeg(queue.bytes(frame)[0]!, WIDTH, HEIGHT);
        });
        assert.ok(lengths.size > 1, `all frames have ${[...lengths]} bytes`);
        await queue.off();
      }));

    it(`${way.name}: another size on the same session, and the stream off and on`, () =>
      onCamera(way, async (stage) => {
        const queue = await openQueue(stage, 'YUYV', 640, 360);
        for (const [width, height] of [
          [640, 360],
          [160, 120],
        ] as const) {
          await queue.setFormat('YUYV', width, height);
          await queue.start(BUFFERS);
          for (let round = 0; round < 2; round++) {
            if (round > 0) {
              for (let index = 0; index < BUFFERS; index++) await queue.queue(index);
              await queue.on();
            }
            await frames(queue, 5, (frame) => verifyYuy2(queue.bytes(frame)[0]!, width * height * 2));
            await queue.off();
          }
          await queue.release();
        }
      }));

    it(`${way.name}: damaged and short frames arrive and say that they are`, () =>
      onCamera(way, async (stage) => {
        const queue = await openQueue(stage, 'YUYV');
        await queue.start(BUFFERS);
        for (const [fault, bytes] of [
          ['damaged-frames', FRAME_BYTES],
          ['short-frames', FRAME_BYTES / 2],
        ] as const) {
          assert.equal(await camera.tell(fault), 'ok');
          let frame = await queue.next();
          for (let n = 0; frame.buffer.bytesused !== bytes || !(frame.buffer.flags & BufferFlag.ERROR); n++) {
            assert.ok(n < 2 * BUFFERS, `${fault} never show`);
            await queue.queue(frame.buffer.index);
            frame = await queue.next();
          }
          verifyYuy2(queue.bytes(frame)[0]!, bytes);
          await queue.queue(frame.buffer.index);
        }
        await queue.off();
      }));

    it(`${way.name}: metadata beside the frames, block by block`, () =>
      onCamera(way, (video) =>
        onStage(
          camera.metadata,
          { frontEnd: { vmm: way.vmm }, serve: { mmap: way.mmap } },
          async ({ driver }) => {
            const queue = await openQueue(video, 'YUYV');
            const metadata = new GuestQueue(driver, await driver.open(), BufferType.META_CAPTURE);
            await metadata.start(BUFFERS);
            await queue.start(BUFFERS);
            const numbers = new Map<number, number>();
            for (let n = 0; n < 8; n++) {
              const [frame, about] = [await queue.next(), await metadata.next()];
              numbers.set(frame.buffer.sequence, verifyYuy2(queue.bytes(frame)[0]!, FRAME_BYTES));
              assert.equal(about.buffer.flags & BufferFlag.ERROR, 0);
              const number = verifyMetadata(metadata.bytes(about)[0]!, about);
              assert.equal(number - about.buffer.sequence, [...numbers][0]![1] - [...numbers][0]![0]);
              await queue.queue(frame.buffer.index);
              await metadata.queue(about.buffer.index);
            }
            await queue.off();
            await metadata.off();
            await metadata.release();
          },
        ),
      ));
  }

  /** struct uvc_meta_buf, once for each payload: the host's time, the USB frame, and the payload's header. */
  function verifyMetadata(live: Uint8Array, { buffer }: DqbufEvent): number {
    const bytes = Buffer.from(live);
    const block = 10 + HEADER;
    const payloads = Math.ceil(FRAME_BYTES / PAYLOAD);
    assert.equal(buffer.bytesused, payloads * block);
    const number = bytes.readUInt32LE(12) >>> 16;
    const frameId = bytes[11]! & 1;
    let time = 0n;
    for (let n = 0; n < payloads; n++) {
      const at = bytes.subarray(n * block);
      const last = n === payloads - 1;
      assert.ok(at.readBigUInt64LE() >= time, 'the host’s time goes back');
      time = at.readBigUInt64LE();
      assert.deepEqual([...at.subarray(10, 12)], [HEADER, 0x8c | frameId | (last ? 2 : 0)]);
      assert.equal(at.readUInt32LE(12), number * 65_536, 'presentation time');
      assert.equal(at.readUInt32LE(16), number * 65_536 + n, 'source clock');
      assert.equal(at.readUInt16LE(20), number % 2048, 'USB frame');
    }
    return number;
  }

  it('the metadata node says of its format what it says natively', () =>
    onStage(camera.metadata, {}, async ({ driver, frontEnd }) => {
      const session = await driver.open();
      const type = BufferType.META_CAPTURE;
      await NativeNode.with(camera.metadata, async (node) => {
        for (const [nr, request] of [
          [Ioctl.ENUM_FMT, encoded(fmtdesc, { index: 0, type })],
          [Ioctl.G_FMT, encoded(formatRecord, { type })],
        ] as const) {
          const own = await node.ioctl(nr, request);
          assert.equal(own.errno, 0);
          assert.deepEqual(await driver.ioctl(session, nr, request), own.payload);
        }
      });
      assert.ok(frontEnd.sharedMemory.size > 0);
    }));

  it('refuses what uvcvideo refuses while another session streams', () =>
    onCamera(ways[0]!, async (stage) => {
      const queue = await openQueue(stage, 'YUYV');
      await queue.start(BUFFERS);
      const other = GuestQueue.ofCamera(stage.driver, await stage.driver.open());
      assert.equal(await errnoOf(other.request(2)), Errno.EBUSY);
      assert.equal(await errnoOf(other.setFormat('YUYV', 160, 120)), Errno.EBUSY);
      await frames(queue, 3, (frame) => verifyYuy2(queue.bytes(frame)[0]!, FRAME_BYTES));
      await queue.off();
    }));

  it('pulled out of a stream: its buffers come back, then ENODEV; plugged in again it is served anew', async () => {
    await onCamera(ways[0]!, async (stage) => {
      const queue = await openQueue(stage, 'YUYV');
      await queue.start(BUFFERS);
      await queue.next();
      await camera.unplug();
      for (let n = 1; n < BUFFERS; n++) await queue.next(1000);
      assert.equal(await errnoOf(queue.off()), Errno.ENODEV);
    });
    await camera.replug();
    await onCamera(ways[0]!, async (stage) => {
      const queue = await openQueue(stage, 'YUYV');
      await queue.start(BUFFERS);
      await frames(queue, 3, (frame) => verifyYuy2(queue.bytes(frame)[0]!, FRAME_BYTES));
      await queue.off();
    });
  });
});
