/** A USB camera that is pulled and plugged in again while daemon and VM run: what is served then, and what is not. */
import assert from 'node:assert/strict';
import { closeSync, constants, mkdirSync, openSync, rmSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Errno } from '../../src/errno.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, format as formatRecord } from '../../src/v4l2/layout.js';
import { eventually } from '../addon/process.js';
import { journalled, keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { ServeProcess } from './support/serve-process.js';
import { errnoOf, Stage } from './support/stage.js';
import { UsbCamera } from './support/usb-camera.js';
import { verifyYuy2 } from './support/usb-camera-frame.js';

const WIDTH = 320;
const HEIGHT = 180;
const BUFFERS = 4;
const OTHER_PORT = ['--port', '1'];
const BY_ID = '/dev/v4l/by-id';

describe('lab: a camera is plugged in again', function () {
  this.timeout(60_000);
  let camera: UsbCamera;
  let others: UsbCamera[];
  let stage: Stage | undefined;

  beforeEach(async function () {
    keepJournal();
    others = [];
    camera = await UsbCamera.plugIn(this);
  });
  afterEach(async function () {
    showJournal(this.currentTest);
    await stage?.close();
    stage = undefined;
    for (const other of others) await other.takeAway();
    await camera?.end();
  });

  async function serve(device: string): Promise<Stage> {
    stage = await Stage.open(device);
    return stage;
  }

  async function plugIn(...options: string[]): Promise<UsbCamera> {
    const other = await UsbCamera.plugInBeside(...options);
    others.push(other);
    return other;
  }

  async function openQueue({ driver }: Stage): Promise<GuestQueue> {
    const queue = GuestQueue.ofCamera(driver, await driver.open());
    await queue.setFormat('YUYV', WIDTH, HEIGHT);
    return queue;
  }

  /** Checks every byte of some frames, and that each frame comes once. */
  async function goodFrames(queue: GuestQueue): Promise<void> {
    const numbers = new Set<number>();
    while (numbers.size < 4) {
      const frame = await queue.next();
      assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
      const number = verifyYuy2(queue.bytes(frame)[0]!, WIDTH * HEIGHT * 2);
      assert.ok(!numbers.has(number), `frame ${number} comes twice`);
      numbers.add(number);
      await queue.queue(frame.buffer.index);
    }
  }

  /** Opens a session, streams, and closes it. */
  async function streams(on: Stage): Promise<void> {
    const queue = await openQueue(on);
    await queue.start(BUFFERS);
    await goodFrames(queue);
    await queue.off();
    await queue.release();
    await on.driver.close(queue.session);
  }

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

  const openErrno = (on: Stage) => errnoOf(on.driver.open());

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

  describe('given by its link of by-id', () => {
    const link = `${BY_ID}/usb-virtio-media-bridge_Camera_1-video-index0`;

    beforeEach(() => {
      mkdirSync(BY_ID, { recursive: true });
      symlinkSync(camera.node, link);
    });
    afterEach(() => rmSync(link));

    it('it is found in another port', async () => {
      const on = await serve(link);
      await streams(on);
      await camera.unplug();
      assert.equal(await openErrno(on), Errno.ENODEV);
      await plugIn(...OTHER_PORT);
      await streams(on);
      on.verify();
    });

    it('a twin in its own port, with another serial number, is not served', async () => {
      const on = await serve(link);
      const number = camera.node;
      await camera.unplug();
      const twin = await plugIn('--serial', '2');
      assert.equal(twin.node, number);
      assert.equal(await openErrno(on), Errno.ENODEV);
      await twin.unplug();
      await camera.replug();
      await streams(on);
      on.verify();
    });
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

  describe('given by its link of by-path', () => {
    const link = '/dev/v4l/by-path/platform-vhci_hcd.0-usb-0:1:1.0-video-index0';

    beforeEach(() => {
      mkdirSync('/dev/v4l/by-path', { recursive: true });
      symlinkSync(camera.node, link);
    });
    afterEach(() => rmSync(link));

    it('a twin in its own port is served', async () => {
      const on = await serve(link);
      await camera.unplug();
      await plugIn('--serial', '2');
      await streams(on);
      on.verify();
    });

    it('it is not found in another port', async () => {
      const on = await serve(link);
      await camera.unplug();
      await plugIn(...OTHER_PORT);
      assert.equal(await openErrno(on), Errno.ENODEV);
      on.verify();
    });
  });

  describe('given by a name of the operator’s own', () => {
    const name = '/dev/vmb-lab-deskcam';

    /** As a udev rule with SYMLINK does, when a device comes and when it goes. */
    function lead(target?: string): void {
      rmSync(name, { force: true });
      if (target !== undefined) symlinkSync(target, name);
    }
    beforeEach(() => lead(camera.node));
    afterEach(() => lead());

    it('it is found in another port, when the name is there', async () => {
      const on = await serve(name);
      await streams(on);
      await camera.unplug();
      lead();
      assert.equal(await openErrno(on), Errno.ENODEV);
      const moved = await plugIn(...OTHER_PORT);
      assert.equal(await openErrno(on), Errno.ENODEV, 'the rule has not named it');
      lead(moved.node);
      await streams(on);
      assert.equal(journalled('the device is back').length, 1);
      on.verify();
    });

    it('another camera to which it leads is served, and the log says which', async () => {
      const on = await serve(name);
      const other = await plugIn(...OTHER_PORT, '--name', 'Another');
      lead(other.node);
      await streams(on);
      assert.match(journalled('the name leads to another device')[0]!, /card=Another/);
      lead(camera.node);
      await streams(on);
      on.verify();
    });

    it('a node of another kind to which it leads is refused, and the log says what it lacks', async () => {
      const on = await serve(name);
      lead(camera.metadata);
      for (let attempt = 0; attempt < 3; attempt++) assert.equal(await openErrno(on), Errno.ENXIO);
      const lines = journalled('a guest cannot open the node (ENXIO)');
      assert.equal(lines.length, 1);
      assert.match(lines[0]!, /it lacks VIDEO_CAPTURE, which the guest was told/);
      lead('/dev/null');
      assert.equal(await openErrno(on), Errno.ENODEV);
      lead(camera.node);
      await streams(on);
      on.verify();
    });
  });

  it('serve says what identifies the device, for each kind of path', async () => {
    const port = 'in port 1 of vhci_hcd.0';
    const paths: Record<string, string> = {
      [camera.node]: `the device ${port}, with serial number 1`,
      '/dev/v4l/by-id/usb-vmb-lab-a-camera': 'the device with serial number 1, in any port',
      '/dev/v4l/by-path/vmb-lab-a-port': `any device of its model ${port}`,
      '/dev/vmb-lab-a-name': 'whatever /dev/vmb-lab-a-name leads to',
    };
    const links = Object.keys(paths).slice(1);
    for (const link of links) {
      mkdirSync(dirname(link), { recursive: true });
      symlinkSync(camera.node, link);
    }
    const words = Object.keys(paths).flatMap((path, at) => [
      '--device',
      path,
      '--socket-path',
      `/tmp/vmb-lab-${at}`,
    ]);
    const server = await ServeProcess.start(words);
    try {
      for (const [path, words] of Object.entries(paths))
        assert.match(server.stdout, new RegExp(`^${path} is served on .*\n {2}it is ${words}$`, 'm'));
    } finally {
      await server.stop();
      for (const link of links) rmSync(link);
    }
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
    await on.close();
    stage = undefined;
    const again = await serve(camera.node);
    await streams(again);
    again.verify();
  });
});
