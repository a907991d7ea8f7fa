/** A real QEMU holds its big lock while it waits for the bridge. No call of the device may make it wait longer. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { bufferIoctl } from '../../src/client/buffer-ioctls.js';
import { controlIoctl } from '../../src/client/control-ioctls.js';
import { struct, u32 } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, Memory, requestBuffers } from '../../src/v4l2/layout.js';
import { nodeNamed, provide } from '../lab/support/kernel-modules.js';
import { Bridge } from './support/bridge.js';
import { Guest } from './support/guest.js';
import { requires, VIM2M } from './support/host.js';
import { CapabilityType } from './support/virtio-pci.js';

/** vim2m's "Transaction Time (msec)": the duration of a job, and so of a STREAMOFF that waits for the job. */
const TRANSACTION_TIME = 0x0098_1900;
const JOB_MS = 2500;
/** Milliseconds between two accesses. */
const PAUSE_MS = 5;
const streamType = struct({ type: u32 });

describe('a real QEMU while an ioctl of the guest is slow', function () {
  this.timeout(120_000);
  let bridge: Bridge;
  let guest: Guest;
  let session: number;

  before(async function () {
    requires(this, 'qemu');
    provide(this, VIM2M);
    bridge = await Bridge.serve(nodeNamed(VIM2M), '--shm-size', '256M');
    guest = await Guest.boot(bridge.socket);
    session = await guest.driver.open();
  });

  after(async () => {
    await guest?.close();
    await bridge?.close();
  });

  /** Gives the device one job of JOB_MS. */
  async function startJob(): Promise<void> {
    const { driver } = guest;
    const time = [{ id: TRANSACTION_TIME, value: BigInt(JOB_MS) }];
    assert.equal((await controlIoctl(driver, session, Ioctl.S_EXT_CTRLS, time)).errno, 0);
    for (const type of [BufferType.VIDEO_OUTPUT, BufferType.VIDEO_CAPTURE]) {
      const memory = Memory.MMAP;
      await driver.call(session, Ioctl.REQBUFS, requestBuffers, { count: 1, type, memory });
      const { buffer } = await bufferIoctl(driver, session, Ioctl.QUERYBUF, { buffer: { type, memory } });
      const queued = { type, memory, bytesused: buffer.length };
      await bufferIoctl(driver, session, Ioctl.QBUF, { buffer: queued });
      await driver.call(session, Ioctl.STREAMON, streamType, { type });
    }
  }

  /**
   * Durations in milliseconds of accesses to the configuration space while `lasts` returns true, sorted, the slowest
   * last.
   */
  async function accesses(lasts: () => boolean): Promise<number[]> {
    const { address } = guest.machine.device.find(CapabilityType.DEVICE);
    const times: number[] = [];
    while (lasts()) {
      const start = performance.now();
      // Each access is a GET_CONFIG, and QEMU stands still until it is answered.
      await guest.qemu.qtest.readl(address);
      times.push(performance.now() - start);
      await delay(PAUSE_MS);
    }
    return times.toSorted((a, b) => a - b);
  }

  it('reads the configuration space as quickly as ever', async () => {
    await startJob();
    const start = performance.now();
    let pending = true;
    const off = guest.driver
      .call(session, Ioctl.STREAMOFF, streamType, { type: BufferType.VIDEO_OUTPUT })
      .finally(() => {
        pending = false;
      });
    const times = await accesses(() => pending);
    await off;
    assert.ok(performance.now() - start > JOB_MS / 2, 'the STREAMOFF was slow');
    const slowest = times.at(-1)!;
    console.error(
      `      ${times.length} accesses during the job: median ${times[times.length >> 1]!.toFixed(1)} ms, slowest ${slowest.toFixed(1)} ms`,
    );
    // An access that waits for the ioctl takes most of the job. An access that is only slowed by a busy machine takes
    // tens of milliseconds.
    assert.ok(times.length > 20 && slowest < JOB_MS / 5, `${times.length} accesses, slowest ${slowest} ms`);
  });

  it('and neither side has anything to complain about', async () => {
    await guest.driver.close(session);
    assert.deepEqual(guest.driver.complaints, []);
    assert.deepEqual(await guest.qemu.quit(), { code: 0, signal: null });
    assert.equal(guest.qemu.program.stderr, '');
    assert.deepEqual(await bridge.stop(1000), { code: 0, signal: null });
  });
});
