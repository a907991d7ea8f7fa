/** Sessions opened, streamed and closed, one after the other, on a camera. */
import type { GuestDriver } from '../../src/client/guest-driver.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { GuestQueue } from '../lab/support/guest-queue.js';
import { type Endurance, Pace, reportOf } from './endurance.js';

/**
 * Number of sessions before the first count, because caches fill and V8 compiles at first. A longer run needs a longer
 * warm-up: after 200 sessions of 2000 the process still grows by some 20 MiB, after 2000 of 100,000 it does not grow at
 * all.
 */
const warmUpOf = (count: number) => Math.min(count, Math.max(2000, Math.ceil(count / 50)));
/** The smallest number of buffers that vivid gives. Every second session uses both. */
const BUFFERS = 2;

async function session(driver: GuestDriver, nth: number): Promise<void> {
  const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
  await queue.request(BUFFERS);
  for (let index = 0; index < BUFFERS - (nth % 2); index++) {
    await queue.map(index);
    await queue.queue(index);
  }
  await queue.on();
  await queue.next();
  // Of four programs one frees its buffers, one only stops its stream, and two end without doing either, as if they
  // were killed.
  if (nth % 4 < 2) await queue.off();
  for (const index of [...queue.mappings.keys()]) await queue.unmap(index);
  if (nth % 4 === 0) await queue.request(0);
  await driver.close(queue.session);
}

/** Sets the smallest picture at its highest rate. vivid keeps both for whoever opens it next. */
async function prepare(driver: GuestDriver): Promise<void> {
  const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
  await queue.setFormat('GREY', 320, 180);
  await queue.setRate(120);
  await driver.close(queue.session);
}

/** Runs `count` sessions in all: one after the other on each device, the devices side by side. */
async function spread({ drivers }: Endurance, count: number, seen: (done: number) => void): Promise<void> {
  let begun = 0;
  let done = 0;
  const work = async (driver: GuestDriver) => {
    while (begun < count) {
      await session(driver, begun++);
      seen(++done);
    }
  };
  await Promise.all(drivers.map(work));
}

/** Runs `count` sessions. Throws if anything is left of them. Returns a line of figures. */
export async function endureSessions(
  endurance: Endurance,
  count: number,
  progress: (done: number) => void = () => undefined,
): Promise<string> {
  for (const driver of endurance.drivers) await prepare(driver);
  await spread(endurance, warmUpOf(count), () => undefined);
  const before = await endurance.holdings();
  const pace = new Pace();
  await spread(endurance, count, (done) => {
    pace.step();
    progress(done);
  });
  const after = await endurance.verify(before);
  return reportOf(`${count} sessions on ${endurance.drivers.length} cameras`, before, after, pace);
}
