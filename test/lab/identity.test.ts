/** What identifies a USB camera: the operator's choice of a path decides which device is served after a replug. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { Errno } from '../../src/errno.js';
import { journalled } from './support/daemon-log.js';
import { ServeProcess } from './support/serve-process.js';
import { OTHER_PORT, servedCamera } from './support/served-camera.js';
import type { UsbCamera } from './support/usb-camera.js';

const BY_ID = '/dev/v4l/by-id';

describe('lab: what identifies a camera', function () {
  this.timeout(60_000);
  let camera: UsbCamera;
  const { serve, plugIn, streams, openErrno } = servedCamera((plugged) => {
    camera = plugged;
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
});
