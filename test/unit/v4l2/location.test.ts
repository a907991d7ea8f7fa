/** Where a node is, in a fake sysfs and a fake /dev. Character devices that every host has stand for the nodes. */
import assert from 'node:assert/strict';
import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Errno } from '../../../src/errno.js';
import { configureLog } from '../../../src/log.js';
import { failure, type Result } from '../../../src/result.js';
import { Location } from '../../../src/v4l2/location.js';
import { fakeSysfs } from './support/fake-sysfs.js';

/** Device numbers from Linux, Documentation/admin-guide/devices.txt. */
const stand = { '1:3': '/dev/null', '1:5': '/dev/zero', '1:7': '/dev/full' } as const;
type Number = keyof typeof stand;

describe('v4l2/location', () => {
  const { sysfs, put, link } = fakeSysfs();

  let gone = 0;

  before(() => configureLog('error', 'text'));
  after(() => configureLog('info', 'text'));

  /** Adds a camera at a port of a USB bus. The node has the device number `number`. */
  function plugIn(name: string, number: Number, port: string, serial = '', title = 'Camera'): void {
    const bus = `devices/pci0/usb${port.split('-')[0]}`;
    const device = `${bus}/${port}`;
    put(`sys/${bus}/version`, ' 2.00\n');
    const folder = `${device}/${port}:1.0/video4linux/${name}`;
    put(`sys/${device}/serial`, `${serial}\n`);
    put(`sys/${folder}/name`, `${title}\n`);
    put(`sys/${folder}/index`, '0\n');
    put(`sys/${folder}/uevent`, `DEVNAME=${name}\n`);
    link(`sys/${folder}/device`, '../..');
    link(`sys/class/video4linux/${name}`, `../../${folder}`);
    link(`sys/dev/char/${number}`, `../../${folder}`);
    link(`dev/${name}`, stand[number]);
  }

  /**
   * Removes the camera. Its folder is moved away and not deleted: sysfs never uses an inode number twice, but this
   * file system does.
   */
  function unplug(name: string, number: Number, port: string): void {
    const bus = `sys/devices/pci0/usb${port.split('-')[0]}`;
    renameSync(join(sysfs.root, bus, port), join(sysfs.root, `gone-${gone++}`));
    for (const path of [`sys/class/video4linux/${name}`, `sys/dev/char/${number}`, `dev/${name}`])
      rmSync(join(sysfs.root, path));
  }

  const dev = (name: string) => join(sysfs.root, 'dev', name);
  const locate = (path: string) => Location.of(path, sysfs.roots);

  it('is current while the node is registered as it was, and is not when it is gone', async () => {
    plugIn('video0', '1:3', '1-4');
    const location = await locate(dev('video0'));
    assert.equal(location.path, '/dev/null');
    assert.equal(location.isCurrent(), true);
    unplug('video0', '1:3', '1-4');
    assert.equal(location.isCurrent(), false);
    assert.equal(await location.search(), failure(Errno.ENODEV));
  });

  it('is not current for another registration with the same number, until that is said to be it', async () => {
    plugIn('video0', '1:3', '1-4');
    const location = await locate(dev('video0'));
    unplug('video0', '1:3', '1-4');
    plugIn('video0', '1:3', '1-4');
    assert.equal(location.isCurrent(), false);
    assert.equal(await location.search(), dev('video0'));
    assert.equal(location.moved(dev('video0')), true);
    assert.equal(location.moved(dev('video0')), false, 'two sessions may find it at the same time');
    assert.equal(location.isCurrent(), true);
  });

  it('finds the device under another number, and not the one that has its number now', async () => {
    plugIn('video0', '1:3', '1-4', 'A1');
    const location = await locate(dev('video0'));
    unplug('video0', '1:3', '1-4');
    plugIn('video0', '1:3', '1-2', 'A1');
    assert.equal(location.isCurrent(), false);
    assert.equal(await location.search(), failure(Errno.ENODEV));
    plugIn('video5', '1:5', '1-4', 'A1');
    assert.equal(await location.search(), dev('video5'));
    location.moved(dev('video5'));
    assert.equal(location.path, dev('video5'));
    assert.equal(location.isCurrent(), true);
  });

  it('finds no other model in its port', async () => {
    plugIn('video0', '1:3', '1-4');
    const location = await locate(dev('video0'));
    unplug('video0', '1:3', '1-4');
    plugIn('video0', '1:3', '1-4', '', 'Webcam');
    assert.equal(await location.search(), failure(Errno.ENODEV));
  });

  it('finds it on a bus that has another number', async () => {
    plugIn('video0', '1:3', '1-4');
    const location = await locate(dev('video0'));
    unplug('video0', '1:3', '1-4');
    plugIn('video1', '1:5', '1-2');
    plugIn('video0', '1:3', '3-4');
    assert.equal(location.isCurrent(), false);
    assert.equal(await location.search(), dev('video0'));
    assert.equal(await location.verify(dev('video0')), true);
    assert.equal(await location.verify(dev('video1')), false, 'another port');
  });

  it('finds no twin in its port that has another serial number, unless the port was named', async () => {
    plugIn('video0', '1:3', '1-4', 'A1');
    link('dev/v4l/by-path/pci-0-usb-0:4:1.0-video-index0', '../../video0');
    const camera = await locate(dev('video0'));
    const port = await locate(dev('v4l/by-path/pci-0-usb-0:4:1.0-video-index0'));
    assert.deepEqual([camera.mark, port.mark], ['camera', 'port']);
    unplug('video0', '1:3', '1-4');
    plugIn('video0', '1:3', '1-4', 'B2');
    assert.equal(await camera.search(), failure(Errno.ENODEV));
    assert.match(camera.absence, /its port has another device \(Camera, serial number B2, not .*A1\)/);
    assert.equal(await camera.verify(dev('video0')), false);
    assert.equal(await port.search(), dev('video0'));
    assert.equal(await port.verify(dev('video0')), true);
  });

  describe('by a link of by-id', () => {
    const BY_ID = 'v4l/by-id/usb-Camera_A1-video-index0';

    it('it finds the serial number in another port, and no other number in its own', async () => {
      plugIn('video0', '1:3', '1-4', 'A1');
      link(`dev/${BY_ID}`, '../../video0');
      const location = await locate(dev(BY_ID));
      assert.equal(location.mark, 'serial');
      unplug('video0', '1:3', '1-4');
      plugIn('video0', '1:3', '1-4', 'B2');
      assert.equal(await location.search(), failure(Errno.ENODEV));
      plugIn('video7', '1:7', '1-2', 'A1');
      assert.equal(await location.search(), dev('video7'));
    });

    it('it takes the port if another device has the serial number too', async () => {
      plugIn('video0', '1:3', '1-4', 'A1');
      plugIn('video1', '1:5', '1-2', 'A1');
      link(`dev/${BY_ID}`, '../../video0');
      const location = await locate(dev(BY_ID));
      assert.equal(location.mark, 'camera');
      unplug('video0', '1:3', '1-4');
      assert.equal(await location.search(), failure(Errno.ENODEV), 'not the clone');
      plugIn('video5', '1:3', '1-4', 'A1');
      assert.equal(await location.search(), dev('video5'));
    });
  });

  describe('by a name of the operator’s own', () => {
    /** Makes the name, or lets it lead elsewhere, as udev does. */
    function name(target: string): string {
      rmSync(dev('deskcam'), { force: true });
      link('dev/deskcam', target);
      return dev('deskcam');
    }
    async function follow(location: Location): Promise<Result<string>> {
      await location.follow();
      return location.isCurrent() ? location.path : location.search();
    }

    it('it is where the name leads, whatever is there', async () => {
      plugIn('video0', '1:3', '1-4', 'A1');
      const location = await locate(name('video0'));
      assert.equal(location.mark, 'name');
      assert.equal(await follow(location), stand['1:3']);
      plugIn('video7', '1:7', '1-2', 'B2', 'Webcam');
      name('video7');
      assert.equal(await follow(location), stand['1:7']);
      assert.equal(await location.verify(stand['1:7']), true);
      assert.equal(location.moved(stand['1:7']), true);
      assert.equal(location.isCurrent(), true);
    });

    it('it stays where it is if the name goes', async () => {
      plugIn('video0', '1:3', '1-4', 'A1');
      const location = await locate(name('video0'));
      rmSync(dev('deskcam'));
      assert.equal(await follow(location), stand['1:3']);
      assert.equal(location.isCurrent(), true);
    });

    it('while the name leads nowhere, it is the device that had it, and no twin', async () => {
      plugIn('video0', '1:3', '1-4', 'A1');
      const location = await locate(name('video0'));
      unplug('video0', '1:3', '1-4');
      assert.equal(await follow(location), failure(Errno.ENODEV));
      assert.match(location.absence, /deskcam leads nowhere, and its device is gone/);
      plugIn('video5', '1:5', '1-4', 'B2');
      assert.equal(await follow(location), failure(Errno.ENODEV));
      assert.match(location.absence, /deskcam leads nowhere, and its port has another device/);
      unplug('video5', '1:5', '1-4');
      plugIn('video7', '1:7', '1-4', 'A1');
      assert.equal(await follow(location), dev('video7'));
    });

    it('while the name leads nowhere, it is the device that had it last', async () => {
      plugIn('video0', '1:3', '1-4', 'A1');
      const location = await locate(name('video0'));
      unplug('video0', '1:3', '1-4');
      plugIn('video7', '1:7', '1-2', 'B2');
      name('video7');
      assert.equal(await follow(location), stand['1:7']);
      assert.equal(await location.verify(stand['1:7']), true);
      location.moved(stand['1:7']);
      rmSync(dev('deskcam'));
      unplug('video7', '1:7', '1-2');
      plugIn('video0', '1:3', '1-4', 'A1');
      assert.equal(await follow(location), failure(Errno.ENODEV));
      plugIn('video5', '1:5', '1-2', 'B2');
      assert.equal(await follow(location), dev('video5'));
    });
  });

  it('of an inherited descriptor there is nothing to find', async () => {
    plugIn('video0', '1:3', '1-4');
    const fd = openSync('/dev/null', 'r');
    const location = await locate(`/proc/self/fd/${fd}`);
    assert.equal(location.path, `/proc/self/fd/${fd}`);
    assert.equal(location.isCurrent(), true);
    unplug('video0', '1:3', '1-4');
    assert.equal(location.isCurrent(), false);
    plugIn('video5', '1:5', '1-4');
    assert.equal(await location.search(), failure(Errno.ENODEV));
    closeSync(fd);
  });

  it('of a node that sysfs does not show there is its path, to be asked each time', async () => {
    const location = await locate('/dev/null');
    assert.equal(location.isCurrent(), false);
    assert.equal(location.mark, 'path');
    assert.equal(await location.search(), '/dev/null');
    assert.equal(await location.verify('/dev/null'), true);
    assert.equal(location.moved('/dev/null'), false);
    assert.equal(location.isCurrent(), false);
  });
});
