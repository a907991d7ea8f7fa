/** Sessions opened, streamed and closed, one after the other, on a camera. */
import { BufferType } from '../../src/v4l2/layout.js';
import { GuestQueue } from '../lab/queue.js';
import { type Endurance, Pace, reportOf } from './endurance.js';

/** Caches fill, V8 compiles: what is held after these is what is held. */
const WARM_UP = 10;
const BUFFERS = 2;

async function session({ driver }: Endurance, nth: number): Promise<void> {
  const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
  await queue.request(BUFFERS);
  for (let index = 0; index < BUFFERS; index++) {
    await queue.map(index);
    await queue.queue(index);
  }
  await queue.on();
  await queue.next();
  // Every second program ends without a word, as one that was killed.
  if (nth % 2 === 0) await queue.off();
  for (const index of [...queue.mappings.keys()]) await queue.unmap(index);
  if (nth % 4 === 0) await queue.request(0);
  await driver.close(queue.session);
}

/** The smallest picture at its highest rate: vivid keeps both for whoever opens it next. */
async function prepare({ driver }: Endurance): Promise<void> {
  const queue = new GuestQueue(driver, await driver.open(), BufferType.VIDEO_CAPTURE);
  await queue.setFormat('GREY', 320, 180);
  await queue.setRate(120);
  await driver.close(queue.session);
}

/** Runs `count` sessions. Throws if anything is left of them. Returns a line of figures. */
export async function endureSessions(
  endurance: Endurance,
  count: number,
  progress: (done: number) => void = () => undefined,
): Promise<string> {
  await prepare(endurance);
  for (let nth = 0; nth < WARM_UP; nth++) await session(endurance, nth);
  const before = await endurance.holdings();
  const pace = new Pace();
  for (let nth = 0; nth < count; nth++) {
    await session(endurance, nth);
    pace.step();
    progress(nth + 1);
  }
  const after = await endurance.verify(before);
  return reportOf(`${count} sessions`, before, after, pace);
}
