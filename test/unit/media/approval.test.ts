/** OPEN asks before it opens the node. Who answers is the test. */
import assert from 'node:assert/strict';
import { log } from '../../../src/log.js';
import { MAX_APPROVAL_MS } from '../../../src/media/policy.js';
import { DeviceBench, turns, u32 } from './bench.js';
import { pass, startClock, stopClock } from './clock.js';
import { FakeTransport } from './fake-transport.js';

const EIO = 5;
const EACCES = 13;
const OPEN = u32(1, 0);

interface Question {
  readonly session: number;
  readonly until: AbortSignal;
  readonly limit: number;
  answer(yes: boolean): void;
  fail(error: Error): void;
}

describe('approval of OPEN', () => {
  let bench: DeviceBench;
  let asked: Question[];

  before(() => {
    log.silent = true;
  });
  after(() => {
    log.silent = false;
  });
  beforeEach(() => {
    stopClock();
    asked = [];
    const approve = (session: number, until: AbortSignal, limit: number) =>
      new Promise<boolean>((answer, fail) => asked.push({ session, until, limit, answer, fail }));
    bench = new DeviceBench('auto', new FakeTransport(), { approve });
    const open = bench.node.open.bind(bench.node);
    bench.node.open = (onReady) => {
      const file = open(onReady);
      const run = file.open.bind(file);
      file.open = () => {
        opened++;
        return run();
      };
      return file;
    };
    opened = 0;
    bench.start();
  });
  afterEach(() => {
    bench.close();
    startClock();
  });
  let opened = 0;

  /** Offers an OPEN that waits for its answer. */
  async function offered(): Promise<number> {
    const head = bench.offer(OPEN, 16);
    await turns();
    assert.equal(bench.answered(head), null);
    return head;
  }
  const status = (head: number) => bench.answered(head)?.status;

  it('no: EACCES, and the node was never opened', async () => {
    const head = await offered();
    asked[0]!.answer(false);
    await turns();
    assert.deepEqual([status(head), opened, bench.device.sessions], [EACCES, 0, 0]);
  });

  it('who is asked fails: EIO, and the node was never opened', async () => {
    const head = await offered();
    asked[0]!.fail(new Error('a bug'));
    await turns();
    assert.deepEqual([status(head), opened, bench.device.sessions], [EIO, 0, 0]);
  });

  it('a reset takes the question back, and a late yes opens nothing', async () => {
    await offered();
    bench.device.reset();
    assert.equal(asked[0]!.until.aborted, true);
    asked[0]!.answer(true);
    await turns();
    assert.deepEqual([opened, bench.device.sessions], [0, 0]);
    await bench.device.closed();
  });

  it('the VMM leaves: the question is taken back', async () => {
    await offered();
    bench.device.disconnected();
    assert.equal(asked[0]!.until.aborted, true);
    asked[0]!.answer(false);
    await bench.device.closed();
    assert.equal(opened, 0);
  });

  it('the limit is within the deadline, and shorter for a command that has waited', async () => {
    await offered();
    assert.equal(asked[0]!.limit, MAX_APPROVAL_MS);
    asked[0]!.answer(false);
    await turns();
    let free = () => {};
    // A file that is being closed makes the next OPEN wait.
    bench.node.closing = new Promise((resolve) => {
      free = resolve;
    });
    const first = bench.offer(OPEN, 16);
    await turns();
    asked[1]!.answer(true);
    await turns();
    bench.offer(u32(2, 0, bench.answered(first)!.payload.readUInt32LE(0), 0), 0);
    bench.offer(OPEN, 16);
    await turns();
    pass(900);
    free();
    await turns();
    assert.ok(asked[2]!.limit <= 4000 - 900 - 500 && asked[2]!.limit > 2000, `${asked[2]!.limit} ms`);
    asked[2]!.answer(false);
    await turns();
  });

  it('others do not wait for the answer', async () => {
    const first = await offered();
    const second = await offered();
    asked[1]!.answer(true);
    await turns();
    assert.deepEqual([status(first), status(second)], [undefined, 0]);
    asked[0]!.answer(true);
    await turns();
    assert.deepEqual([status(first), opened], [0, 2]);
    assert.deepEqual(
      asked.map(({ session }) => session),
      [1, 2],
    );
  });
});
