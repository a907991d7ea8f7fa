/** Answers over a fake node that wait until the guest has given back every event that was sent before. */
import assert from 'node:assert/strict';
import { type DeviceBench, turns, u32 } from './bench.js';
import { pass } from './clock.js';
import { streamSuite } from './support/stream-suite.js';

describe('barriers', () => {
  let bench: DeviceBench;
  const { stream } = streamSuite((made) => {
    bench = made;
  });

  it('STREAMOFF is answered when the driver has given back the frames that were sent before', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 3);
    bench.node.file.frame();
    await turns();
    assert.equal(bench.events.ring.usedIndex, 1);
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 19), u32(1)]), 8);
    await turns(20);
    assert.equal(bench.answered(head), null, 'the event is still with the driver');
    bench.takeEvents();
    await turns();
    assert.equal(bench.answered(head)?.status, 0);
  });

  it('a session that is closing sends nothing more', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.file.frame();
    bench.offer(u32(2, 0, session, 0), 0);
    bench.node.file.ready(1);
    await turns(10);
    bench.takeEvents();
    bench.node.file.ready(1);
    await turns();
    assert.deepEqual(bench.takeEvents(), []);
  });

  it('REQBUFS, UNSUBSCRIBE_EVENT and CLOSE wait for the frames that were sent before, as STREAMOFF does', async () => {
    bench.start();
    const commands: ((session: number) => [Buffer, number])[] = [
      (session) => [Buffer.concat([u32(3, 0, session, 91), u32(3, 7, 0), Buffer.alloc(20)]), 8],
      (session) => [Buffer.concat([u32(3, 0, session, 92), u32(0, 1, 1, 0, 1), Buffer.alloc(236)]), 264],
      (session) => [Buffer.concat([u32(3, 0, session, 8), u32(2, 1, 1, 0, 0)]), 28],
      (session) => [u32(2, 0, session, 0), 0],
    ];
    for (const command of commands) {
      const session = await bench.open();
      await stream(session, 2);
      bench.node.file.frame();
      await turns();
      assert.equal(bench.node.file.done.length, 0, 'the frame was sent');
      const head = bench.offer(...command(session));
      await turns(20);
      assert.equal(bench.answered(head), null);
      bench.takeEvents();
      await turns();
      assert.notEqual(bench.answered(head), null);
    }
  });

  it('a driver that never gives frames back is answered after 300 ms', async () => {
    bench.start();
    const session = await bench.open();
    await stream(session, 2);
    bench.node.file.frame();
    await turns();
    const head = bench.offer(Buffer.concat([u32(3, 0, session, 19), u32(1)]), 8);
    await turns();
    pass(299);
    await turns();
    assert.equal(bench.answered(head), null);
    pass(1);
    await turns();
    assert.equal(bench.answered(head)?.status, 0);
  });
});
