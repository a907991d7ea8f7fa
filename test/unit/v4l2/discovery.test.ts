/** The host's nodes, read from a fake sysfs and a fake /dev in a temporary folder. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { findNode, hostNodes, usbOf } from '../../../src/v4l2/discovery.js';
import { fakeSysfs } from './support/fake-sysfs.js';

describe('v4l2/discovery', () => {
  const { sysfs, put, link } = fakeSysfs();

  /** Adds a node as the kernel shows it: the class folder has links into /sys/devices. */
  function addNode(name: string, device: string, title: string, index = 0): void {
    const folder = `sys/devices/${device}/video4linux/${name}`;
    put(`${folder}/name`, `${title}\n`);
    put(`${folder}/index`, `${index}\n`);
    put(`${folder}/uevent`, `MAJOR=81\nMINOR=0\nDEVNAME=${name}\n`);
    link(`${folder}/device`, '../..');
    link(`sys/class/video4linux/${name}`, `../../devices/${device}/video4linux/${name}`);
    put(`dev/${name}`, '');
  }

  it('finds nothing where no V4L2 driver is loaded', async () => {
    assert.deepEqual(await hostNodes(sysfs.roots), []);
  });

  it('tells name, path, title, driver and physical device of a node', async () => {
    addNode('video3', 'pci0/usb1/1-4/1-4:1.0', 'Integrated Camera', 1);
    link('sys/devices/pci0/usb1/1-4/1-4:1.0/driver', '../../../../bus/usb/drivers/uvcvideo');
    assert.deepEqual(await hostNodes(sysfs.roots), [
      {
        name: 'video3',
        path: join(sysfs.root, 'dev/video3'),
        class: 'video',
        title: 'Integrated Camera',
        index: 1,
        driver: 'uvcvideo',
        device: join(sysfs.root, 'sys/devices/pci0/usb1/1-4/1-4:1.0'),
        links: [],
      },
    ]);
  });

  it('orders by class, then by number and not by letter', async () => {
    for (const name of ['video10', 'radio0', 'v4l-subdev0', 'video2', 'vbi0', 'swradio1', 'v4l-touch0'])
      addNode(name, `platform/${name}`, name);
    const names = (await hostNodes(sysfs.roots)).map(({ name }) => name);
    assert.deepEqual(names, ['video2', 'video10', 'vbi0', 'radio0', 'swradio1', 'v4l-touch0', 'v4l-subdev0']);
  });

  it('passes over what is no V4L2 node', async () => {
    addNode('video0', 'platform/a', 'a');
    addNode('media0', 'platform/b', 'b');
    assert.deepEqual(
      (await hostNodes(sysfs.roots)).map(({ name }) => name),
      ['video0'],
    );
  });

  it('gathers the links of by-id and by-path', async () => {
    addNode('video0', 'platform/a', 'a');
    addNode('video1', 'platform/b', 'b');
    link('dev/v4l/by-path/pci-0-video-index0', '../../video0');
    link('dev/v4l/by-id/usb-cam-video-index0', '../../video0');
    link('dev/v4l/by-id/usb-gone', '../../video9');
    const [first, second] = await hostNodes(sysfs.roots);
    assert.deepEqual(first!.links, [
      join(sysfs.root, 'dev/v4l/by-id/usb-cam-video-index0'),
      join(sysfs.root, 'dev/v4l/by-path/pci-0-video-index0'),
    ]);
    assert.deepEqual(second!.links, []);
  });

  it('finds a node by its name and by a link to it, and nothing by another path', async () => {
    addNode('video0', 'platform/a', 'a');
    link('dev/v4l/by-id/usb-cam', '../../video0');
    put('dev/null', '');
    assert.equal((await findNode(join(sysfs.root, 'dev/video0'), sysfs.roots))?.name, 'video0');
    assert.equal((await findNode(join(sysfs.root, 'dev/v4l/by-id/usb-cam'), sysfs.roots))?.name, 'video0');
    assert.equal(await findNode(join(sysfs.root, 'dev/null'), sysfs.roots), undefined);
    assert.equal(await findNode(join(sysfs.root, 'dev/video7'), sysfs.roots), undefined);
  });

  it('lists a node whose file is missing from /dev and whose attributes cannot be read', async () => {
    mkdirSync(join(sysfs.root, 'sys/class/video4linux/video5'), { recursive: true });
    const [node] = await hostNodes(sysfs.roots);
    assert.equal(node!.path, join(sysfs.root, 'dev/video5'));
    assert.deepEqual([node!.title, node!.driver, node!.device, node!.index], ['', '', '', 0]);
  });

  it('tells serial number, model and USB version of the device that an interface belongs to', async () => {
    const bus = 'sys/devices/pci0/usb3';
    put(`${bus}/version`, ' 2.00\n');
    put(`${bus}/3-1/3-1.4/serial`, 'A1\n');
    put(`${bus}/3-1/3-1.4/idVendor`, '046d\n');
    put(`${bus}/3-1/3-1.4/idProduct`, '0825\n');
    const device = join(sysfs.root, bus, '3-1/3-1.4/3-1.4:1.0');
    assert.deepEqual(await usbOf({ device }), { serial: 'A1', model: '046d:0825', bus: '2.00' });
  });

  it('tells nothing of that for what is not on USB', async () => {
    const none = { serial: '', model: '', bus: '' };
    assert.deepEqual(await usbOf({ device: '' }), none);
    put('sys/devices/platform/serial', 'A1\n');
    assert.deepEqual(await usbOf({ device: join(sysfs.root, 'sys/devices/platform/vivid.0') }), none);
    assert.deepEqual(await usbOf({ device: join(sysfs.root, 'sys/devices/usb1/1-1/1-1:1.0') }), none);
  });
});
