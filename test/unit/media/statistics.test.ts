/** What a device tells of its sessions, over a fake node, against numbers that are worked out by hand. */
import assert from 'node:assert/strict';
import { commandStatuses } from '../../../src/media/status.js';
import { framesOf, Sum } from '../../../src/media/totals.js';
import { noFrames } from '../../../src/v4l2/frame-counters.js';
import { totalOf } from '../../../src/v4l2/histogram.js';
import { type DeviceBench, turns, u32 } from './bench.js';
import { streamSuite } from './support/stream-suite.js';

const VIDEO_CAPTURE = 1;
const [S_FMT, STREAMOFF] = [5, 19];
const ERROR = 0x40;
const MONOTONIC = 0x2000;

describe('statistics', () => {
  let bench: DeviceBench;
  const { stream } = streamSuite((made) => {
    bench = made;
  });

  /** A frame of the driver with these numbers. */
  const frame = (bytes: number, sequence: number, flags = 0) =>
    bench.node.file.frame(flags, (record) => {
      record.writeUInt32LE(bytes, 8);
      const now = process.hrtime.bigint();
      record.writeBigInt64LE(now / 1_000_000_000n, 24);
      record.writeBigInt64LE((now % 1_000_000_000n) / 1000n, 32);
      record.writeUInt32LE(sequence, 56);
    });
  const only = () => {
    const [session] = bench.device.sessionStatuses;
    assert.ok(session);
    return session;
  };

  it('of frames: how many, how large, how many lost and damaged, what the driver has', async () => {
    bench.start();
    const session = await bench.open();
    assert.deepEqual(only(), { id: session, state: 'open', bufferBytes: 0, queues: [] });
    await stream(session, 4);
    frame(1000, 0, MONOTONIC);
    frame(500, 3, MONOTONIC);
    frame(0, 4, MONOTONIC | ERROR);
    await turns();
    const [queue] = only().queues;
    const { frames, bytes, lost, damaged, buffers, queued, streaming, type } = queue!;
    assert.deepEqual(
      { frames, bytes, lost, damaged, buffers, queued, streaming, type },
      {
        ...{ frames: 3, bytes: 1500, lost: 2, damaged: 1 },
        ...{ buffers: 4, queued: 1, streaming: true, type: 'VIDEO_CAPTURE' },
      },
    );
    assert.equal(queue!.latency.count, 2);
    assert.ok(queue!.latency.medianUs! < 5_000_000);
    assert.ok(only().bufferBytes > 0);
  });

  it('of frames: a stream that starts anew has lost none between', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    frame(1, 7);
    await turns();
    bench.takeEvents();
    await bench.tell(session, STREAMOFF, u32(1));
    await bench.ioctl(session, 8, u32(0, 1, 1, 0, 0));
    await stream(session, 2);
    frame(1, 100);
    await turns();
    const [{ frames, lost } = assert.fail('no queue')] = only().queues;
    assert.deepEqual([frames, lost], [2, 0]);
  });

  it('of commands: each by its name, with its errors, and what is unknown together', async () => {
    bench.start();
    const session = await bench.open();
    bench.node.ioctls.set(S_FMT, () => 16);
    await bench.ioctl(session, S_FMT, u32(1, ...Array(51).fill(0)));
    await bench.ioctl(session, 250, u32(1));
    await bench.ioctl(session, 0x7fff_ffff, u32(1));
    await bench.command(u32(77, 0), 8);
    const rows = commandStatuses(bench.device.totals);
    const counts = rows.map(({ command, count, errors, lastError }) => [command, count, errors, lastError]);
    assert.deepEqual(counts.sort(), [
      ['OPEN', 1, 0, null],
      ['S_FMT', 1, 1, 'EBUSY'],
      ['unknown', 3, 3, 'ENOTTY'],
    ]);
    const failure = bench.device.lastFailure!;
    assert.deepEqual([failure.command, failure.error], ['unknown', 'ENOTTY']);
    assert.match(failure.text, /ioctl/);
  });

  it('of totals: they stay when the session ends', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    frame(10, 0);
    await turns();
    assert.equal(framesOf(bench.device.totals).frames, 1);
    bench.takeEvents();
    await bench.command(u32(2, 0, session, 0), 8);
    await turns();
    assert.deepEqual(bench.device.sessionStatuses, []);
    assert.deepEqual([framesOf(bench.device.totals).frames, framesOf(bench.device.totals).bytes], [1, 10]);
    const next = await bench.open();
    await stream(next, 2);
    frame(5, 0);
    await turns();
    assert.deepEqual([...bench.device.totals.frames.keys()], [VIDEO_CAPTURE]);
    assert.equal(framesOf(bench.device.totals).bytes, 15);
    assert.equal(only().queues[0]!.bytes, 5);
  });

  it('of sums: something that ends twice counts once', () => {
    const sum = new Sum();
    const times = { counts: [1], sum: 3 };
    const totals = {
      frames: new Map([[1, { ...noFrames, frames: 2 }]]),
      commands: new Map([[15, { errors: 1, lastErrno: 5, times }]]),
    };
    const counted = { totals };
    sum.add(counted);
    assert.equal(framesOf(sum.totals).frames, 2);
    sum.ended(counted);
    sum.ended(counted);
    sum.add({ totals });
    assert.equal(framesOf(sum.totals).frames, 4);
    assert.equal(totalOf(sum.totals.commands.get(15)!.times), 2);
  });
});
