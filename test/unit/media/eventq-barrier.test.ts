/** Barriers of the eventq, with a real queue over test RAM. The test plays the driver. */
import assert from 'node:assert/strict';
import { Bench } from '../virtio/bench.js';
import { type EventqStage, eventqSuite } from './support/eventq-stage.js';

describe('barrier of the eventq', () => {
  let stage: EventqStage;
  eventqSuite((made) => {
    stage = made;
  });

  it('passes at once where nothing was sent, or no queue runs', async () => {
    await stage.events.barrier(1000);
    stage.start(4);
    await stage.events.barrier(1000);
  });

  it('passes when the driver has given every descriptor back', async () => {
    stage.start(4);
    stage.reserveAndSend(1);
    stage.reserveAndSend(2);
    let passed = false;
    const barrier = stage.events.barrier(10_000).then(() => {
      passed = true;
    });
    stage.post(1);
    await new Promise(setImmediate);
    assert.equal(passed, false, 'one is still out');
    stage.post(1);
    await barrier;
  });

  it('waits only for what was sent before it', async () => {
    stage.start(4);
    stage.reserveAndSend(1);
    const barrier = stage.events.barrier(10_000);
    stage.reserveAndSend(2);
    stage.post(1);
    await barrier;
  });

  it('ends after 300 ms when the driver keeps them', async () => {
    stage.start(4);
    stage.reserveAndSend(1);
    const started = performance.now();
    await stage.events.barrier(10_000);
    const waited = performance.now() - started;
    assert.ok(waited >= 295 && waited < 1500, `${waited} ms`);
  });

  it('ends earlier when the command has less time left', async () => {
    stage.start(4);
    stage.reserveAndSend(1);
    const started = performance.now();
    await stage.events.barrier(20);
    assert.ok(performance.now() - started < 280);
  });

  it('ends when the queue stops', async () => {
    stage.start(4);
    stage.reserveAndSend(1);
    const barrier = stage.events.barrier(60_000);
    stage.events.stop();
    await barrier;
  });

  it('counts anew for a queue that was started again, with fewer descriptors', async () => {
    stage.start(16);
    stage.reserveAndSend(1);
    stage.events.stop();
    stage.bench.close();
    stage.bench = new Bench({ size: 16 });
    stage.queue = stage.bench.queue();
    stage.given = 0;
    stage.start(2);
    stage.reserveAndSend(2);
    let passed = false;
    const barrier = stage.events.barrier(10_000).then(() => {
      passed = true;
    });
    stage.post(1);
    await new Promise(setImmediate);
    assert.equal(passed, true);
    await barrier;
  });

  it('several pass each at its own time', async () => {
    stage.start(4);
    const order: number[] = [];
    const barriers = [1, 2, 3].map((n) => {
      stage.reserveAndSend(n);
      return stage.events.barrier(10_000).then(() => void order.push(n));
    });
    for (let n = 0; n < 3; n++) {
      stage.post(1);
      await new Promise(setImmediate);
    }
    await Promise.all(barriers);
    assert.deepEqual(order, [1, 2, 3]);
  });

  it('holds for a driver that posts its descriptors late, one after the other', async () => {
    stage.start();
    stage.post(1);
    stage.reserveAndSend(1);
    // The device never had two descriptors at once, so it counts this one as the first one that comes back.
    stage.post(1);
    stage.reserveAndSend(2);
    stage.post(1);
    await stage.events.barrier(10_000);
  });
});
