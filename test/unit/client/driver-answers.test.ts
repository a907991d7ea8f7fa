/** What the guest driver makes of answers, whole or wrong or late. The back-end is a FAKE. */
import assert from 'node:assert/strict';
import { controlIoctl } from '../../../src/client/control-ioctls.js';
import { DriverError, ProtocolError } from '../../../src/client/driver-error.js';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Vmm } from '../../../src/client/vmm.js';
import { format } from '../../../src/v4l2/layout.js';
import { until } from '../../support/until.js';
import { pass, startClock, stopClock } from '../media/clock.js';
import { answer, driverSuite, words } from './support/driver-suite.js';
import type { FakeBackend } from './support/fake-backend.js';

describe('GuestDriver and its answers', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let driver: GuestDriver;
  const { start } = driverSuite((driven) => {
    ({ backend, frontEnd, driver } = driven);
  });
  afterEach(startClock);

  describe('judges answers', () => {
    it('gives the errno of a status with the name of the ioctl and what came along', async () => {
      await start(() => answer(16, Buffer.from('payload')));
      await assert.rejects(driver.ioctl(1, 5, words(1)), (error: Error) => {
        assert.ok(error instanceof DriverError);
        assert.equal(error.message, 'S_FMT: EBUSY');
        assert.equal(error.errno, 16);
        assert.equal(Buffer.from(error.payload).toString(), 'payload');
        return true;
      });
    });

    it('refuses what the Linux driver would misread', async () => {
      const wrong: [string, Buffer][] = [
        ['no header', Buffer.alloc(7)],
        ['a negative errno', answer(0xffffffea)],
        ['an errno beyond MAX_ERRNO', answer(4096)],
        ['a success without its payload', answer(0)],
        ['a success that is cut short', answer(0, 207)],
      ];
      for (const [what, bytes] of wrong) {
        await start(() => bytes);
        await assert.rejects(driver.ioctl(1, 5, words(1)), ProtocolError, what);
        frontEnd.close();
        backend.close();
      }
    });

    it('keeps the errno of controls, and says whether the array came with it', async () => {
      await start((readable) => answer(28, readable.subarray(16, 16 + 52)));
      const echoed = await controlIoctl(driver, 1, 71, [{ id: 1 }]);
      assert.deepEqual([echoed.errno, echoed.echoed, echoed.controls.length], [28, true, 1]);
      frontEnd.close();
      backend.close();
      await start(() => answer(25));
      const bare = await controlIoctl(driver, 1, 71, [{ id: 1 }]);
      assert.deepEqual([bare.errno, bare.echoed], [25, false]);
      frontEnd.close();
      backend.close();
      await start(() => answer(0));
      await assert.rejects(controlIoctl(driver, 1, 71, [{ id: 1 }]), ProtocolError);
    });

    it('gives up after its time, counts what comes later, and goes on', async () => {
      let late: (() => void) | undefined;
      stopClock();
      await start(
        async (readable) => {
          if (readable.readUInt32LE(12) === 4) return answer(0, 208);
          await new Promise<void>((resolve) => {
            late = resolve;
          });
          return answer(0);
        },
        { timeout: 300 },
      );
      const available = driver.heap.available;
      const given = assert.rejects(
        driver.ioctl(1, 18, words(1)),
        /STREAMON: ETIMEDOUT \(no answer within 0.3 s\)/,
      );
      await until(() => late !== undefined);
      pass(300);
      await given;
      assert.equal(driver.lateAnswers, 0);
      late!();
      await until(() => driver.lateAnswers === 1);
      assert.equal(driver.heap.available, available);
      await driver.call(1, 4, format, { type: 1 });
    });

    it('gives up everything when the device breaks the ring', async () => {
      await start(() => undefined);
      const waiting = assert.rejects(driver.open(), /descriptor 77, which it does not hold/);
      await until(() => backend.rings[0]!.next > 0);
      backend.finish(0, { head: 77, readable: [], writable: [] }, Buffer.alloc(0));
      await waiting;
      assert.equal(driver.complaints.length, 1);
      await assert.rejects(driver.open(), /descriptor 77/);
    });

    it('refuses a chain that the ring cannot hold', async () => {
      await start(() => answer(0), { cutting: [1] }, { vmm: 'crosvm' });
      await assert.rejects(driver.command(Buffer.alloc(64), 8), /a raw command: ENOSPC/);
    });
  });
});
