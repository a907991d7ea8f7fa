/** A device for each test of a suite, and a clock that the test moves. */
import assert from 'node:assert/strict';
import { log } from '../../../../src/log.js';
import { buffer, DeviceBench, u32 } from '../bench.js';
import { startClock, stopClock } from '../clock.js';

/** Adds the hooks of a suite. The bench of each test is given to `made`, and is closed after the test. */
export function streamSuite(made: (bench: DeviceBench) => void) {
  let bench: DeviceBench | undefined;
  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  /** Makes another device in the place of the one before. */
  const renew = () => {
    bench?.close();
    bench = new DeviceBench();
    made(bench);
  };
  beforeEach(() => {
    stopClock();
    renew();
  });
  afterEach(() => {
    bench!.close();
    bench = undefined;
    startClock();
  });

  /** Starts a stream of the session, with `count` buffers that are queued. */
  const stream = async (session: number, count: number) => {
    assert.ok(bench);
    assert.equal((await bench.ioctl(session, 8, u32(count, 1, 1, 0, 0))).status, 0);
    for (let index = 0; index < count; index++)
      assert.equal((await bench.ioctl(session, 15, buffer(index))).status, 0);
    assert.equal((await bench.tell(session, 18, u32(1))).status, 0);
  };
  return { stream, renew };
}
