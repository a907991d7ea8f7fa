/**
 * SIGTERM while a device hangs. Nothing can end a thread that waits inside a driver, and a process exists until its
 * last thread has ended. The promise is that the daemon has shut down in time, and that only this thread is left of it.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, fmtdesc, format, streamType } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { Bridge } from '../vmm/support/bridge.js';
import { CuseNode, type Held } from './support/cuse-node.js';
import { GuestQueue } from './support/guest-queue.js';

const type = BufferType.VIDEO_CAPTURE;
/** Milliseconds: one second, and the time that the end of a process takes in emulation. */
const END_MS = 3000;

/** States of a process's threads (R, S, D, Z), beginning with its main thread. Empty: the process is gone. */
function threadStates(pid: number): string[] {
  const folder = `/proc/${pid}/task`;
  const threads = existsSync(folder) ? readdirSync(folder) : [];
  return threads
    .sort((a, b) => Number(a) - Number(b))
    .flatMap((thread) => {
      try {
        const [, state] = /^State:\s+(\w)/m.exec(readFileSync(`${folder}/${thread}/status`, 'latin1')) ?? [];
        return state ? [state] : [];
      } catch {
        // The thread ended between the two calls.
        return [];
      }
    });
}

/** What hangs, and what makes the daemon call it. */
const faults: readonly (readonly [name: string, held: Held, provoke: (queue: GuestQueue) => unknown])[] = [
  [
    'ENUM_FMT',
    Ioctl.ENUM_FMT,
    ({ driver, session }) => driver.ioctl(session, Ioctl.ENUM_FMT, encoded(fmtdesc, { type })),
  ],
  [
    'STREAMOFF',
    Ioctl.STREAMOFF,
    ({ driver, session }) => driver.ioctl(session, Ioctl.STREAMOFF, streamType.encode({ type })),
  ],
  ['OPEN', 'open', ({ driver }) => driver.open()],
  ['CLOSE', 'close', ({ driver, session }) => driver.close(session)],
  [
    'everything',
    'all',
    ({ driver, session }) => driver.ioctl(session, Ioctl.G_FMT, encoded(format, { type })),
  ],
];

describe('lab: SIGTERM while a device hangs', function () {
  this.timeout(60_000);
  let node: CuseNode;
  before(async function () {
    node = await CuseNode.make(this);
  });
  after(() => node?.end());

  for (const [name, held, provoke] of faults)
    it(`${name}: the daemon has left within a second, and is gone when the device lets go`, async () => {
      const bridge = await Bridge.serve(node.path);
      try {
        const frontEnd = await Vmm.connect(bridge.socket);
        const driver = await GuestDriver.probe(frontEnd, { concurrent: true, timeout: 20_000 });
        const queue = new GuestQueue(driver, await driver.open(), type);
        await queue.setFormat('GREY', 64, 32);
        await queue.start(4);
        await queue.next();
        const before = node.held;
        await node.hold(held);
        // The command is answered only by the end of the connection, if at all.
        void (provoke(queue) as Promise<unknown>).catch(() => undefined);
        await node.waits(1, before);
        await leaves(bridge);
        assert.equal(existsSync(bridge.socket), false, 'the socket is still there');
        assert.notEqual(frontEnd.ended, undefined, 'the VMM was not hung up on');
        await node.heal();
        assert.deepEqual(await bridge.program.end(), { code: 0, signal: null });
        driver.remove();
        frontEnd.close();
      } finally {
        await node.heal();
        await bridge.close();
      }
    });

  async function leaves({ program }: Bridge): Promise<void> {
    const started = performance.now();
    program.signal('SIGTERM');
    const left = () => {
      const [main = 'Z'] = threadStates(program.pid);
      return main === 'Z';
    };
    assert.ok(await eventually(left, 5000), `it stays: ${threadStates(program.pid).join('')}`);
    const took = performance.now() - started;
    console.log(
      `      it left after ${took.toFixed()} ms; its threads are ${threadStates(program.pid).join('') || 'gone'}`,
    );
    assert.ok(took < END_MS, `it left after ${took.toFixed()} ms`);
    for (const state of threadStates(program.pid))
      assert.ok('ZD'.includes(state), `a thread goes on: ${state}`);
  }
});
