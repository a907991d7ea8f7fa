/** Streams over a fake node: when buffers are dequeued, and for whom. */
import assert from 'node:assert/strict';
import { buffer, type DeviceBench, turns, u32 } from './bench.js';
import { streamSuite } from './support/stream-suite.js';

const EPIPE = 32;

describe('streaming', () => {
  let bench: DeviceBench;
  const { stream, renew } = streamSuite((made) => {
    bench = made;
  });

  it('the watcher waits for buffers only while there are some and the stream is on', async () => {
    bench.start();
    const session = await bench.open();
    const { file } = bench.node;
    const IN = 1;
    const isArmed = () => ((file.watched.at(-1) ?? 0) & IN) !== 0;
    await stream(session, 2);
    await turns();
    assert.equal(isArmed(), true);
    // If the queue were armed for a moment while its buffers are freed, vb2 would start read() emulation in poll.
    const seen: boolean[] = [];
    for (const nr of [8, 19, 92])
      bench.node.ioctls.set(nr, () => {
        seen.push(isArmed());
        return 0;
      });
    await bench.ioctl(session, 92, Buffer.concat([u32(0, 1, 1, 0, 1), Buffer.alloc(236)]));
    assert.equal(isArmed(), true, 'the stream goes on');
    await bench.tell(session, 19, u32(1));
    await bench.ioctl(session, 8, u32(0, 1, 1, 0, 0));
    assert.deepEqual([seen, isArmed()], [[false, false, false], false]);
  });

  it('a frame for which the guest has no descriptor stays in the kernel until it has', async () => {
    bench.start(0);
    const session = await bench.open();
    await stream(session, 2);
    bench.node.file.frame();
    bench.node.file.frame();
    await turns();
    assert.deepEqual(bench.node.file.done, [0, 1], 'DQBUF was not called');
    bench.postEvents(1);
    await turns();
    assert.deepEqual(bench.node.file.done, [1]);
    bench.postEvents(1);
    await turns();
    assert.deepEqual(
      bench.takeEvents().map((event) => event.readUInt32LE(8)),
      [0, 1],
    );
  });

  it('what is ready without being there costs no descriptor of the eventq', async () => {
    bench.start(1);
    const session = await bench.open();
    await stream(session, 2);
    for (let n = 0; n < 20; n++) {
      bench.node.file.ready(1);
      await turns();
    }
    bench.node.file.frame();
    await turns();
    assert.equal(bench.takeEvents().length, 1);
  });

  it('frames reach the guest of 17, 24 and 40 sessions that share sixteen descriptors, each as often', async () => {
    for (const sessions of [17, 24, 40]) {
      renew();
      bench.start(16);
      const ids: number[] = [];
      for (let n = 0; n < sessions; n++) {
        const session = await bench.open();
        ids.push(session);
        await bench.tell(session, 90, Buffer.concat([u32(5, 0, 0), Buffer.alloc(20)]));
        await stream(session, 4);
      }
      for (const file of bench.node.files) {
        const run = file.call.bind(file);
        // The loop makes a turn meanwhile, as with a real lane.
        file.call = async (call) => new Promise(setImmediate).then(() => run(call));
        for (let n = 0; n < 4; n++) file.frame();
      }
      const came: number[] = [];
      for (let turn = 0; turn < 40 * sessions && came.length < 4 * sessions; turn++) {
        await turns(1);
        came.push(...bench.takeEvents().map((event) => event.readUInt32LE(4)));
      }
      assert.equal(came.length, 4 * sessions);
      const first = came.slice(0, sessions);
      assert.deepEqual(new Set(first), new Set(ids), 'nobody has a second frame before everybody has one');
    }
  });

  it('after EPIPE the queue is left alone until it is streamed anew', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    const { file } = bench.node;
    await turns();
    bench.node.dequeueErrno = EPIPE;
    file.ready(1);
    await turns();
    const asked = () => file.asked('dequeueBuffer').length;
    const before = asked();
    for (let n = 0; n < 5; n++) {
      file.ready(1);
      await turns();
    }
    assert.equal(asked(), before, 'no busy loop on a queue that has ended');
    assert.equal(file.watched.at(-1)! & 1, 0, 'nor does the watcher wait for it');
    bench.node.dequeueErrno = 0;
    await bench.tell(session, 19, u32(1));
    assert.equal((await bench.ioctl(session, 15, buffer(0))).status, 0);
    assert.equal((await bench.tell(session, 18, u32(1))).status, 0);
    file.frame();
    await turns();
    assert.equal(bench.takeEvents().length, 1);
  });
});
