/** What the guest driver makes of events. The back-end is a FAKE. */
import assert from 'node:assert/strict';
import { bufferIoctl } from '../../../src/client/buffer-ioctls.js';
import { CommandTimeout } from '../../../src/client/driver-error.js';
import type { GuestDriver } from '../../../src/client/guest-driver.js';
import type { Vmm } from '../../../src/client/vmm.js';
import { until } from '../../support/until.js';
import { answer, type Device, driverSuite, words } from './support/driver-suite.js';
import type { FakeBackend } from './support/fake-backend.js';

/** A DQBUF event for a single-planar buffer. */
const dqbuf = (session: number, type: number, index: number, size = 608) => {
  const event = Buffer.alloc(size);
  words(1, session, index, type).copy(event);
  return event;
};

describe('GuestDriver and its events', () => {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let driver: GuestDriver;
  const { open } = driverSuite((driven) => {
    ({ backend, frontEnd, driver } = driven);
  });

  describe('receives events', () => {
    const nothing: Device = (readable) =>
      answer(0, readable.subarray(16, 16 + Math.max(0, readable.length - 16)));

    async function queued(): Promise<void> {
      await open(5, nothing);
      for (const index of [0, 1]) await bufferIoctl(driver, 5, 15, { buffer: { index, type: 1, memory: 1 } });
    }

    it('posts 16 buffers of 608 bytes before DRIVER_OK, and each again after use', async () => {
      await queued();
      assert.equal(backend.waiting(1), 16);
      backend.sendEvent(dqbuf(5, 1, 1));
      const event = await driver.nextEvent(5);
      assert.ok(event.kind === 'dqbuf');
      assert.deepEqual([event.buffer.index, event.planes.length], [1, 8]);
      assert.equal(backend.waiting(1), 16);
      assert.equal(driver.postedEvents, 16);
    });

    it('delivers them in order, waiting or handled, across many rounds', async () => {
      await open(5, nothing);
      const ids: number[] = [];
      const event = (id: number) => {
        const bytes = Buffer.alloc(144);
        words(2, 5, 3).copy(bytes);
        bytes.writeUInt32LE(id, 8 + 96);
        return bytes;
      };
      for (let id = 0; id < 10; id++) backend.sendEvent(event(id));
      await until(() => driver.waitingEvents(5) === 10);
      driver.onEvent(5, (one) => one.kind === 'event' && ids.push(one.event.id));
      for (let id = 10; id < 100; id++) {
        backend.sendEvent(event(id));
        if (id % 7 === 0) await until(() => ids.length === id + 1);
      }
      await until(() => ids.length >= 100);
      assert.deepEqual(
        ids,
        Array.from({ length: 100 }, (_, i) => i),
      );
    });

    it('times out, and rejects who waits when the session is closed', async () => {
      await open(5, () => Buffer.alloc(0));
      await assert.rejects(driver.nextEvent(5, 10), CommandTimeout);
      const waiting = assert.rejects(driver.nextEvent(5), /session 5 was closed/);
      await driver.close(5);
      await waiting;
      assert.throws(() => driver.nextEvent(5), /session 5 is not open/);
    });

    it('complains of what the Linux driver drops', async () => {
      await queued();
      for (const event of [dqbuf(5, 1, 0, 96), dqbuf(6, 1, 0), dqbuf(5, 2, 0), words(7, 5), words(1)])
        backend.sendEvent(event);
      await until(() => driver.complaints.length >= 5);
      assert.deepEqual(driver.complaints, [
        'DQBUF event of 96 bytes, 608 are needed',
        'dqbuf event for session 6, which is not open',
        'DQBUF event for buffer 0 of type 2, which is not queued',
        'an event of 8 bytes with number 7',
        'an event of 4 bytes with number -1',
      ]);
    });

    it('complains of a buffer that comes back twice, or after STREAMOFF', async () => {
      await queued();
      backend.sendEvent(dqbuf(5, 1, 0));
      backend.sendEvent(dqbuf(5, 1, 0));
      await until(() => driver.complaints.length > 0);
      assert.deepEqual(driver.complaints, ['DQBUF event for buffer 0 of type 1, which is not queued']);
      await driver.ioctl(5, 19, words(1));
      backend.sendEvent(dqbuf(5, 1, 1));
      await until(() => driver.complaints.length > 1);
      assert.equal(driver.complaints[1], 'DQBUF event for buffer 1 of type 1, which is not queued');
    });

    it('complains of an event that overtakes the answer to its QBUF, not of one that follows it', async () => {
      await open(5, (readable, itself) => {
        if (readable.readUInt32LE(16) === 0) itself.sendEvent(dqbuf(5, 1, 0));
        return answer(0, readable.subarray(16, 104));
      });
      await bufferIoctl(driver, 5, 15, { buffer: { index: 0, type: 1, memory: 1 } });
      await until(() => driver.waitingEvents(5) === 1);
      assert.equal(driver.complaints.length, 0, 'both were seen at once: the answer counts as earlier');
      frontEnd.close();
      backend.close();
      await open(5, async (readable, itself) => {
        itself.sendEvent(dqbuf(5, 1, 0));
        await until(() => itself.waiting(1) === 16, 'the driver to give the buffer of the event back');
        return answer(0, readable.subarray(16, 104));
      });
      await bufferIoctl(driver, 5, 15, { buffer: { index: 0, type: 1, memory: 1 } });
      assert.equal(driver.complaints.length, 1);
    });

    it('reports EVT_ERROR', async () => {
      await open(5, nothing);
      backend.sendEvent(words(0, 5, 19, 0));
      assert.deepEqual(await driver.nextEvent(5), { kind: 'error', sessionId: 5, errno: 19 });
    });
  });
});
