/** Mute over a fake driver that writes into the memory of its buffers, as hardware does. */
import assert from 'node:assert/strict';
import { log } from '../../../../src/log.js';
import { Mute } from '../../../../src/media/mute/mute.js';
import type { NodeCall } from '../../../../src/native.js';
import { buffer, DeviceBench, turns, u32 } from '../bench.js';
import { pass, startClock, stopClock } from '../clock.js';
import { FakeTransport } from '../fake-transport.js';

const EINVAL = 22;
const EBUSY = 16;
const ENODEV = 19;
const PICTURE = 0xee;
const LENGTH = 64 * 16 * 2;
/** 25 frames a second. */
const INTERVAL = 40;

describe('mute', () => {
  let bench: DeviceBench;
  let mute: Mute;

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(() => {
    stopClock();
    mute = new Mute('a node');
    make({});
  });
  afterEach(() => {
    bench.close();
    startClock();
  });

  /** Another camera takes the place of the one that each test has. */
  function begin(camera: Parameters<typeof make>[0]): void {
    bench.close();
    make(camera);
  }

  /** A camera of 64x16 YUYV. */
  function make({ events = 16, fourcc = 'YUYV' }): void {
    bench = new DeviceBench('auto', new FakeTransport(), { mute });
    bench.node.planeLengths = [LENGTH];
    bench.node.ioctls.set(4, (payload) => {
      payload.set(u32(64, 16, Buffer.from(fourcc).readUInt32LE(), 1, 128, LENGTH), 8);
      return 0;
    });
    bench.node.ioctls.set(21, (payload) => {
      payload.set(u32(1, 25), 12);
      return 0;
    });
    bench.start(events);
  }

  const queue = (session: number, index: number) => bench.ioctl(session, 15, buffer(index));
  async function stream(session: number, count = 3): Promise<void> {
    assert.equal((await bench.ioctl(session, 8, u32(count, 1, 1, 0, 0))).status, 0);
    for (let index = 0; index < count; index++) assert.equal((await queue(session, index)).status, 0);
    assert.equal((await bench.tell(session, 18, u32(1))).status, 0);
  }
  /** The memory that the driver has for a buffer, by the last QBUF of it. */
  function memory(index: number, file = bench.node.file): Buffer {
    const given = file.calls.findLast(
      (call) =>
        call.kind === 'buffer' && call.nr === 15 && Buffer.from(call.buffer).readUInt32LE(0) === index,
    ) as NodeCall & { kind: 'buffer' };
    const { region, offset, length } = given.memory![0]!;
    assert.ok('windows' in region);
    return Buffer.from(region.windows[0]!, offset, length);
  }
  const isBlack = (bytes: Buffer) => bytes.every((byte, at) => byte === (at % 2 === 0 ? 0x10 : 0x80));
  const isClean = (bytes: Buffer) => !bytes.includes(PICTURE);
  /** index, bytesused, flags and sequence of each frame that has come. */
  const frames = () =>
    bench.takeEvents().map((event) => ({
      index: event.readUInt32LE(8),
      used: event.readUInt32LE(16),
      flags: event.readUInt32LE(20),
      sequence: event.readUInt32LE(8 + 56),
      time: event.readBigInt64LE(8 + 24) * 1_000_000n + event.readBigInt64LE(8 + 32),
    }));
  async function due(times = 1) {
    const found = [];
    for (let n = 0; n < times; n++) {
      pass(INTERVAL);
      await turns();
      found.push(...frames());
    }
    return found;
  }
  const answers = async (of: Promise<{ status: number }>) => (await of).status;

  it('refuses what vb2 refuses: a buffer twice, STREAMON without buffers, REQBUFS under a stream', async () => {
    await mute.mute('black');
    const session = await bench.open();
    assert.equal(await answers(bench.tell(session, 18, u32(1))), EINVAL);
    await stream(session);
    assert.equal(await answers(queue(session, 0)), EINVAL);
    assert.equal(await answers(queue(session, 7)), EINVAL);
    assert.equal(await answers(bench.ioctl(session, 93, buffer(1))), EINVAL);
    assert.equal(await answers(bench.ioctl(session, 8, u32(0, 1, 1, 0, 0))), EBUSY);
    assert.equal(await answers(bench.tell(session, 18, u32(1))), 0);
  });

  it('the driver of a muted device never streams, whatever the guest does', async () => {
    await mute.mute('black');
    const session = await bench.open();
    await stream(session);
    await due(3);
    assert.deepEqual(
      [bench.node.file.asked(18).length, bench.node.file.queued, bench.node.file.streaming],
      [0, [], false],
    );
    assert.ok(
      bench.node.file.watched.every((events) => (events & 1) === 0),
      'nor is it polled for frames',
    );
  });

  it('a stream that runs: the driver has stopped when mute() is done, and nothing of its picture is left', async () => {
    const session = await bench.open();
    await stream(session);
    const { file } = bench.node;
    // One frame is ready, and the driver is writing the next.
    for (const index of [0, 1, 2]) memory(index).fill(PICTURE);
    file.done.push(file.queued.shift()!);
    await mute.mute('none');
    assert.equal(file.streaming, false);
    for (const index of [0, 1, 2]) assert.ok(isClean(memory(index)), `buffer ${index}`);
    assert.deepEqual(await due(5), []);
  });

  it('a frame that waits for a descriptor of the eventq comes without its picture', async () => {
    begin({ events: 0 });
    const session = await bench.open();
    await stream(session);
    memory(0).fill(PICTURE);
    bench.node.file.frame();
    await turns();
    await mute.mute('black');
    bench.postEvents(8);
    await turns();
    assert.ok(isClean(memory(0)));
  });

  it('black: frames in the format of the guest, at the rate of the camera, from its own buffers in their order', async () => {
    const session = await bench.open();
    await stream(session);
    for (const index of [0, 1, 2]) memory(index).fill(PICTURE);
    bench.node.file.frame();
    await turns();
    assert.equal(frames().length, 1);
    await mute.mute('black');
    const [first, second] = await due(2);
    assert.deepEqual([first!.index, first!.used, first!.flags, first!.sequence], [1, LENGTH, 0x2000, 1]);
    assert.deepEqual([second!.index, second!.sequence], [2, 2]);
    assert.ok(second!.time > first!.time || second!.time === first!.time);
    for (const index of [1, 2]) assert.ok(isBlack(memory(index)), `buffer ${index}`);
    assert.deepEqual(await due(3), [], 'the guest has queued no other');
    assert.equal((await queue(session, 0)).payload.readUInt32LE(12) & 2, 2, 'QUEUED');
    assert.deepEqual(
      (await due()).map(({ index }) => index),
      [0],
    );
    assert.ok(isBlack(memory(1)));
  });

  it('a format of which nobody knows how black looks: no frames', async () => {
    begin({ fourcc: 'H264' });
    await mute.mute('black');
    const session = await bench.open();
    await stream(session);
    assert.deepEqual(await due(5), []);
    await mute.unmute();
    bench.node.file.frame();
    await turns();
    assert.equal(frames().length, 1);
  });

  it('none: the guest gets no frame, and its buffers again at STREAMOFF', async () => {
    const session = await bench.open();
    await stream(session);
    await mute.mute('none');
    assert.deepEqual(await due(50), []);
    assert.equal(await answers(bench.tell(session, 19, u32(1))), 0);
    assert.equal(await answers(queue(session, 0)), 0);
  });

  it('unmute: the driver gets what the guest has queued, in order, and streams', async () => {
    const session = await bench.open();
    await stream(session);
    await mute.mute('black');
    await due();
    await queue(session, 0);
    await mute.unmute();
    const { file } = bench.node;
    assert.deepEqual([file.streaming, file.queued], [true, [1, 2, 0]]);
    assert.equal(file.watched.at(-1)! & 1, 1);
    file.frame();
    await turns();
    assert.deepEqual(
      frames().map(({ index }) => index),
      [1],
    );
    assert.deepEqual(await due(5), [], 'no black frame comes any more');
  });

  it('unmute, and the driver refuses: the buffers come back damaged', async () => {
    const session = await bench.open();
    await stream(session);
    await mute.mute('none');
    bench.node.ioctls.set(18, () => EBUSY);
    await mute.unmute();
    await turns();
    assert.deepEqual(
      frames().map(({ index, flags }) => [index, flags & 0x40]),
      [
        [0, 0x40],
        [1, 0x40],
        [2, 0x40],
      ],
    );
  });

  it('muted twice, otherwise, and unmuted at once: the last word counts', async () => {
    const session = await bench.open();
    await stream(session);
    await Promise.all([mute.mute('none'), mute.mute('black'), mute.unmute(), mute.mute('black')]);
    assert.equal(mute.how, 'black');
    assert.equal((await due()).length, 1);
    await Promise.all([mute.mute('none'), mute.unmute()]);
    assert.equal(mute.isMuted, false);
    assert.equal(bench.node.file.streaming, true);
  });

  it('an ioctl that hangs: mute() is done only when the driver has stopped', async () => {
    const session = await bench.open();
    await stream(session);
    const release = bench.node.hold();
    bench.offer(Buffer.concat([u32(3, 0, session, 4), Buffer.alloc(208)]), 216);
    await turns();
    let isDone = false;
    const muting = mute.mute('none').then(() => {
      isDone = true;
    });
    await turns();
    assert.equal(isDone, false);
    release();
    await muting;
    assert.equal(bench.node.file.streaming, false);
  });

  it('the device is unplugged while it is muted: the buffers come back, then ENODEV', async () => {
    const session = await bench.open();
    await stream(session);
    await mute.mute('black');
    bench.node.file.ready(0x10);
    await turns();
    assert.equal(frames().length, 3);
    assert.equal(await answers(queue(session, 0)), ENODEV);
    await mute.unmute();
    assert.equal(mute.isMuted, false);
  });

  it('outlives the VMM: the next one is muted from its first OPEN', async () => {
    await mute.mute('black');
    await stream(await bench.open());
    begin({});
    await stream(await bench.open());
    assert.equal((await due()).length, 1);
    assert.equal(bench.node.file.asked(18).length, 0);
  });

  it('CLOSE and a reset end the frames', async () => {
    await mute.mute('black');
    const session = await bench.open();
    await stream(session);
    await bench.command(u32(2, 0, session, 0), 8);
    await stream(await bench.open());
    bench.device.reset();
    assert.deepEqual(await due(3), []);
  });
});
