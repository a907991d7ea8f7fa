/** A USB camera that is pulled and plugged in again while daemon and VM run: what is served then, and what is not. */
import assert from 'node:assert/strict';
import { closeSync, constants, openSync, rmSync, symlinkSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Errno } from '../../src/errno.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, format as formatRecord } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/support/process.js';
import { journalled } from './support/daemon-log.js';
import type { GuestQueue } from './support/guest-queue.js';
import { BUFFERS, OTHER_PORT, servedCamera } from './support/served-camera.js';
import { errnoOf } from './support/stage.js';
import type { UsbCamera } from './support/usb-camera.js';

describe('lab: a camera is plugged in again', function () {
  this.timeout(60_000);
  let camera: UsbCamera;
  const { serve, end, plugIn, openQueue, goodFrames, streams, openErrno } = servedCamera((plugged) => {
    camera = plugged;
  });

  /** Pulls the plug while the driver has every buffer and all are empty, because the camera sends no more frames. */
  async function pull(queue: GuestQueue): Promise<void> {
    assert.equal(await camera.tell('no-frames'), 'ok');
    for (let quiet = false; !quiet; ) {
      const waiting = queue.driver.nextEvent(queue.session, 500);
      quiet = (await errnoOf(waiting)) !== 0;
      const event = quiet ? undefined : await waiting;
      if (event?.kind === 'dqbuf') await queue.queue(event.buffer.index);
    }
    await camera.unplug();
    const gone = performance.now();
    const indices = new Set<number>();
    for (let n = 0; n < BUFFERS; n++) {
      const { index, flags } = (await queue.next(1000)).buffer;
      assert.ok(flags & BufferFlag.ERROR, `buffer ${index} does not say that it has no frame`);
      indices.add(index);
    }
    assert.equal(indices.size, BUFFERS);
    assert.ok(performance.now() - gone < 1000, 'buffers came back late');
    await camera.heal();
  }

  /** Checks that this process, which is daemon and VMM, uses little processor time. */
  async function isIdle(): Promise<void> {
    const before = process.cpuUsage();
    await sleep(1000);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 500_000, `${(user + system) / 1000} ms of CPU in a second of nothing`);
  }

  it('in mid-stream: the old session is dead and idle, a new one streams from the node that it is now', async () => {
    const before = camera.node;
    // A path of its own, because log lines about one path are limited to one in five seconds.
    const link = `/tmp/vmb-lab-replug-${process.pid}`;
    symlinkSync(before, link);
    const on = await serve(link);
    rmSync(link);
    const old = await openQueue(on);
    await old.start(BUFFERS);
    await goodFrames(old);
    await pull(old);
    assert.equal(await openErrno(on), Errno.ENODEV);
    assert.equal(await openErrno(on), Errno.ENODEV);
    await isIdle();
    // The guest's program still has its file open, so the number of the node is taken.
    await camera.replug();
    assert.notEqual(camera.node, before);
    await streams(on);
    await streams(on);
    assert.equal(await errnoOf(old.off()), Errno.ENODEV);
    await isIdle();
    await on.driver.close(old.session);
    for (const line of ['was unplugged', 'a guest cannot open the node (ENODEV)', 'the device is back'])
      assert.equal(journalled(line).length, 1, line);
    on.verify();
  });

  it('again and again: each time it is found, and nothing is left behind', async () => {
    const on = await serve(camera.node);
    for (let round = 0; round < 5; round++) {
      const queue = await openQueue(on);
      await queue.start(BUFFERS);
      await goodFrames(queue);
      await pull(queue);
      assert.equal(await openErrno(on), Errno.ENODEV);
      if (round % 2 === 0) await on.driver.close(queue.session);
      await camera.replug();
      if (round % 2 === 1) await on.driver.close(queue.session);
    }
    await streams(on);
    on.verify();
  });

  for (const [what, options] of [
    ['another camera', ['--name', 'Another']],
    ['a twin', []],
  ] as const)
    it(`${what} in another port has its number: OPEN is ENODEV until the right one is back`, async () => {
      const on = await serve(camera.node);
      await streams(on);
      const number = camera.node;
      await camera.unplug();
      const other = await plugIn(...OTHER_PORT, ...options);
      assert.equal(other.node, number);
      assert.equal(await openErrno(on), Errno.ENODEV);
      await camera.replug();
      assert.notEqual(camera.node, number);
      await streams(on);
      await other.unplug();
      await streams(on);
      on.verify();
    });

  it('another model in its own port, at its number: OPEN is ENODEV', async () => {
    const on = await serve(camera.node);
    const number = camera.node;
    await camera.unplug();
    const other = await plugIn('--name', 'Another');
    assert.equal(other.node, number);
    assert.equal(await openErrno(on), Errno.ENODEV);
    await other.unplug();
    await camera.replug();
    await streams(on);
    on.verify();
  });

  it('a twin in its own port, with another serial number: OPEN is ENODEV, and the log says what is there', async () => {
    const on = await serve(camera.node);
    const number = camera.node;
    await camera.unplug();
    const twin = await plugIn('--serial', '2');
    assert.equal(twin.node, number);
    assert.equal(await openErrno(on), Errno.ENODEV);
    assert.match(
      journalled('a guest cannot open')[0]!,
      /its port has another device \(.*serial number 2, not .* 1\)/,
    );
    await twin.unplug();
    await camera.replug();
    await streams(on);
    on.verify();
  });

  it('the metadata node is found as the metadata node', async () => {
    const on = await serve(camera.metadata);
    const type = BufferType.META_CAPTURE;
    const held = await on.driver.open();
    await camera.unplug();
    assert.equal(await errnoOf(on.driver.call(held, Ioctl.G_FMT, formatRecord, { type })), Errno.ENODEV);
    assert.equal(await openErrno(on), Errno.ENODEV);
    await camera.replug();
    const session = await on.driver.open();
    assert.equal((await on.driver.call(session, Ioctl.G_FMT, formatRecord, { type })).type, type);
    on.verify();
  });

  it('an inherited descriptor has no way back: ENODEV, also with another camera at its number', async () => {
    const fd = openSync(camera.node, constants.O_RDWR | constants.O_NONBLOCK);
    const on = await serve(`/proc/self/fd/${fd}`);
    await streams(on);
    const number = camera.node;
    await camera.unplug();
    assert.equal(await openErrno(on), Errno.ENODEV);
    await camera.replug();
    assert.notEqual(camera.node, number);
    assert.equal(await openErrno(on), Errno.ENODEV);
    closeSync(fd);
    const other = await plugIn(...OTHER_PORT, '--name', 'Another');
    assert.equal(other.node, number);
    assert.equal(await openErrno(on), Errno.ENODEV);
    on.verify();
  });

  it('a session that is opened while it is being plugged in is refused or works', async () => {
    const on = await serve(camera.node);
    await camera.unplug();
    const replugged = camera.replug();
    const errnos = new Set<number>();
    let session = 0;
    await eventually(() => {
      void on.driver.open().then(
        (id) => {
          session ||= id;
        },
        (error: { errno: number }) => errnos.add(error.errno),
      );
      return session !== 0;
    }, 10_000);
    await replugged;
    assert.ok(session !== 0, `never: errnos ${[...errnos]}`);
    assert.deepEqual(
      [...errnos].filter((errno) => errno !== Errno.ENODEV && errno !== Errno.EMFILE),
      [],
    );
    await end();
    const again = await serve(camera.node);
    await streams(again);
    again.verify();
  });
});
