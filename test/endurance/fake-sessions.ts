/**
 * Sessions on a fake node, without a kernel: the device, its rings and guest memory are the product's own. For numbers
 * of sessions that would take an emulated machine too long. The addon's and the drivers' own work is not tested here.
 */
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { log } from '../../src/log.js';
import { buffer, DeviceBench, u32 } from '../unit/media/bench.js';
import { compare, Pace, reportOf } from './endurance.js';
import { holdings } from './holdings.js';

const [REQBUFS, QBUF, STREAMON, STREAMOFF] = [8, 15, 18, 19];
const CLOSE = 2;
const BUFFERS = 2;
/**
 * Sessions for each connection. The bench counts ring entries and never wraps, so the VMM leaves before that and the
 * next one comes.
 */
const CONNECTION = 5000;

async function session(bench: DeviceBench, nth: number): Promise<void> {
  const id = await bench.open();
  assert.equal((await bench.ioctl(id, REQBUFS, u32(BUFFERS, 1, 1, 0, 0))).status, 0);
  for (let index = 0; index < BUFFERS; index++)
    assert.equal((await bench.ioctl(id, QBUF, buffer(index))).status, 0);
  assert.equal((await bench.tell(id, STREAMON, u32(1))).status, 0);
  bench.node.file.frame();
  let events = bench.takeEvents();
  for (; events.length === 0; events = bench.takeEvents()) await turn();
  assert.equal(events.length, 1);
  if (nth % 2 === 0) assert.equal((await bench.tell(id, STREAMOFF, u32(1))).status, 0);
  await bench.command(u32(CLOSE, 0, id, 0), 0);
  // The fake keeps every file that was opened; drop them.
  bench.node.files.length = 0;
}

async function connection(count: number, seen: () => void): Promise<void> {
  const bench = new DeviceBench();
  bench.start();
  for (let nth = 0; nth < count; nth++) {
    await session(bench, nth);
    seen();
  }
  bench.close();
  await bench.device.closed();
  // The file of SHM region 0 is closed after the last session.
  await turn();
}

/** Runs `count` sessions. Throws if anything is left of them. Returns a line of figures. */
export async function endureFakeSessions(count: number, progress: (done: number) => void): Promise<string> {
  log.silent = true;
  await connection(CONNECTION, () => undefined);
  const before = await holdings();
  const pace = new Pace();
  for (let done = 0; done < count; ) {
    await connection(Math.min(CONNECTION, count - done), () => {
      pace.step();
      progress(++done);
    });
  }
  const after = await holdings();
  compare(before, after);
  return reportOf(`${count} sessions on a fake node`, before, after, pace);
}
