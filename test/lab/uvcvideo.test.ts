/** A USB webcam through the bridge, on the kernel's own uvcvideo: frames, metadata, controls, and its faults. */
import assert from 'node:assert/strict';
import type { DialectName } from '../../src/client/dialects.js';
import { encoded } from '../../src/client/record.js';
import { Errno } from '../../src/errno.js';
import type { MmapMode } from '../../src/media/shared-memory.js';
import { control, frmsizeDiscrete, querymenu } from '../../src/v4l2/enumeration-layout.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import {
  BufferFlag,
  BufferType,
  ControlFlag,
  EventType,
  event as eventRecord,
  eventSubscription,
  fmtdesc,
  format as formatRecord,
  frmivalenum,
  frmsizeenum,
  queryExtCtrl,
} from '../../src/v4l2/layout.js';
import { eventually, mappingsOf } from '../addon/process.js';
import { keepJournal, showJournal } from './journal.js';
import { NativeNode } from './native-node.js';
import { type DqbufEvent, GuestQueue } from './queue.js';
import { errnoOf, onStage, type Stage } from './stage.js';
import { UsbCamera } from './usb-camera.js';
import { verifyMjpeg, verifyYuy2 } from './usb-camera-frame.js';

const WIDTH = 320;
const HEIGHT = 180;
const FRAME_BYTES = WIDTH * HEIGHT * 2;
/** As usb-camera/uvc.h and video_pipe.h have it: bytes of picture in a payload, and of its header. */
const PAYLOAD = 16_384 - 12;
const HEADER = 12;
const BRIGHTNESS = 0x0098_0900;
const POWER_LINE = 0x0098_0918;
const WHITE_BALANCE_AUTO = 0x0098_090c;
const WHITE_BALANCE = 0x0098_091a;
/** The camera has a knob for it. */
const ZOOM = 0x009a_090d;
const BUFFERS = 4;

const ways: readonly { name: string; mmap: MmapMode; dialect: DialectName; mapped: number }[] = [
  { name: 'arena, zero copy', mmap: 'arena', dialect: 'qemu', mapped: 1 },
  { name: 'direct', mmap: 'direct', dialect: 'crosvm', mapped: BUFFERS },
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
    onStage(camera.node, { frontEnd: { dialect: way.dialect }, serve: { mmap: way.mmap } }, play);
  const natively = <T>(use: (node: NativeNode) => T | Promise<T>) => NativeNode.with(camera.node, use);

  async function openQueue({ driver }: Stage, fourcc: string, width = WIDTH, height = HEIGHT) {
    const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
    await queue.setFormat(fourcc, width, height);
    return queue;
  }

  /** The camera counts its frames and uvcvideo counts what arrives: a frame that is stale or skipped parts them. */
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
          { frontEnd: { dialect: way.dialect }, serve: { mmap: way.mmap } },
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

  /** struct uvc_meta_buf, once for each payload: host's time, USB frame, and the payload's header. */
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

  it('formats, sizes and rates are the native ones', () =>
    onCamera(ways[0]!, async ({ driver }) => {
      const session = await driver.open();
      await natively(async (node) => {
        let answers = 0;
        const same = async (nr: number, request: Buffer): Promise<Buffer | undefined> => {
          const own = node.ioctl(nr, request);
          const asked = driver.ioctl(session, nr, request);
          if (own.errno !== 0) {
            assert.equal(await errnoOf(asked), own.errno);
            return undefined;
          }
          assert.deepEqual(await asked, own.payload);
          answers++;
          return own.payload;
        };
        const list = async (
          nr: number,
          request: (index: number) => Buffer,
          each: (answer: Buffer) => unknown,
        ) => {
          for (let index = 0; ; index++) {
            const answer = await same(nr, request(index));
            if (!answer) return;
            await each(answer);
          }
        };
        const type = BufferType.VIDEO_CAPTURE;
        await list(
          Ioctl.ENUM_FMT,
          (index) => encoded(fmtdesc, { index, type }),
          async (found) => {
            const { pixelformat: pixelFormat } = fmtdesc.read(found);
            await list(
              Ioctl.ENUM_FRAMESIZES,
              (index) => encoded(frmsizeenum, { index, pixelFormat }),
              async (size) => {
                const { width, height } = frmsizeDiscrete.read(frmsizeenum.read(size).size);
                const rate = (index: number) => encoded(frmivalenum, { index, pixelFormat, width, height });
                await list(Ioctl.ENUM_FRAMEINTERVALS, rate, () => undefined);
              },
            );
          },
        );
        assert.equal(answers, 2 + 6 + 18);
      });
    }));

  it('controls and their menus are the native ones', () =>
    onCamera(ways[0]!, async ({ driver }) => {
      const session = await driver.open();
      await natively(async (node) => {
        let id = 0;
        for (let count = 0; ; count++) {
          const next = encoded(queryExtCtrl, {
            id: (id | ControlFlag.NEXT_CTRL | ControlFlag.NEXT_COMPOUND) >>> 0,
          });
          const own = node.ioctl(Ioctl.QUERY_EXT_CTRL, next);
          const asked = driver.ioctl(session, Ioctl.QUERY_EXT_CTRL, next);
          if (own.errno !== 0) {
            assert.equal(await errnoOf(asked), own.errno);
            assert.ok(count >= 12, `only ${count} controls`);
            return;
          }
          assert.deepEqual(await asked, own.payload);
          id = queryExtCtrl.read(own.payload).id;
          for (let index = 0; index < 4; index++) {
            const item = encoded(querymenu, { id, index });
            const menu = node.ioctl(Ioctl.QUERYMENU, item);
            const answer = driver.ioctl(session, Ioctl.QUERYMENU, item);
            if (menu.errno !== 0) assert.equal(await errnoOf(answer), menu.errno);
            else assert.deepEqual(await answer, menu.payload);
          }
        }
      });
    }));

  it('a control is set, read back, clamped and refused as natively', () =>
    onCamera(ways[0]!, async ({ driver }) => {
      const session = await driver.open();
      await natively(async (node) => {
        for (const [id, value] of [
          [BRIGHTNESS, 33],
          [BRIGHTNESS, -64],
          [BRIGHTNESS, 1000],
          [POWER_LINE, 2],
          [POWER_LINE, 3],
          [WHITE_BALANCE, 3000],
          [WHITE_BALANCE_AUTO, 0],
          [WHITE_BALANCE, 3003],
          [WHITE_BALANCE_AUTO, 1],
          [0x0098_0fff, 1],
        ] as const) {
          const asked = await errnoOf(driver.call(session, Ioctl.S_CTRL, control, { id, value }));
          const after = node.ioctl(Ioctl.G_CTRL, encoded(control, { id }));
          const own = node.ioctl(Ioctl.S_CTRL, encoded(control, { id, value }));
          assert.equal(asked, own.errno, `0x${id.toString(16)} = ${value}`);
          assert.deepEqual(after, node.ioctl(Ioctl.G_CTRL, encoded(control, { id })));
          const got = driver.ioctl(session, Ioctl.G_CTRL, encoded(control, { id }));
          if (after.errno === 0) assert.deepEqual(await got, after.payload);
          else assert.equal(await errnoOf(got), after.errno);
        }
      });
    }));

  // uvcvideo listens to a camera that turns its own knobs only while it streams.
  it('a control that another program sets, or the camera itself turns, is the native event', () =>
    onCamera(ways[0]!, async (stage) => {
      const { driver } = stage;
      const session = await driver.open();
      await natively((node) =>
        NativeNode.with(camera.node, async (other) => {
          node.setControl(BRIGHTNESS, 0);
          node.setControl(ZOOM, 100);
          for (const id of [BRIGHTNESS, ZOOM]) {
            const subscription = { type: EventType.CTRL, id };
            await driver.call(session, Ioctl.SUBSCRIBE_EVENT, eventSubscription, subscription);
            other.call(Ioctl.SUBSCRIBE_EVENT, eventSubscription, subscription);
          }
          const change = async (id: number, value: number, cause: () => unknown) => {
            await cause();
            const record = Buffer.alloc(eventRecord.size);
            const came = () => other.run({ kind: 'dequeueEvent', event: record }) === 0;
            assert.ok(await eventually(came), `no native event of 0x${id.toString(16)} = ${value}`);
            const own = eventRecord.read(record);
            const event = await driver.nextEvent(session);
            assert.ok(event.kind === 'event');
            assert.deepEqual([event.event.type, event.event.id], [own.type, own.id]);
            assert.deepEqual(Buffer.from(event.event.u), Buffer.from(own.u));
            assert.deepEqual([own.id, Buffer.from(own.u).readInt32LE(8)], [id, value]);
            assert.equal((await driver.call(session, Ioctl.G_CTRL, control, { id })).value, value);
          };
          await change(BRIGHTNESS, 21, () => node.setControl(BRIGHTNESS, 21));
          await change(ZOOM, 150, () => node.setControl(ZOOM, 150));
          const queue = await openQueue(stage, 'YUYV');
          await queue.start(BUFFERS);
          await change(ZOOM, 250, () => camera.tell('turn zoom 250'));
          await queue.off();
        }),
      );
    }));

  it('the metadata node says of its format what it says natively', () =>
    onStage(camera.metadata, {}, async ({ driver, frontEnd }) => {
      const session = await driver.open();
      const type = BufferType.META_CAPTURE;
      await NativeNode.with(camera.metadata, async (node) => {
        for (const [nr, request] of [
          [Ioctl.ENUM_FMT, encoded(fmtdesc, { index: 0, type })],
          [Ioctl.G_FMT, encoded(formatRecord, { type })],
        ] as const) {
          const own = node.ioctl(nr, request);
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
      const other = new GuestQueue(stage.driver, await stage.driver.open(), BufferType.VIDEO_CAPTURE);
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
