/** When a node is the same node as before. One property is changed at a time. */
import assert from 'node:assert/strict';
import type { NodeDescription } from '../../../src/v4l2/description.js';
import { compare, findSameNode, isSameNode, markOf, type NodeIdentity } from '../../../src/v4l2/identity.js';

const DEVICE = '/sys/devices/pci0/usb1/1-4/1-4:1.0';
const OTHER_PORT = '/sys/devices/pci0/usb1/1-2/1-2:1.0';
const entry = { class: 'video', driver: 'uvcvideo', title: 'Camera', index: 0, device: DEVICE } as const;
const camera: NodeIdentity = { entry, serial: 'A1' };
const but = (change: Partial<NodeIdentity['entry']>, serial = 'A1'): NodeIdentity => ({
  entry: { ...entry, ...change },
  serial,
});

const description: NodeDescription = {
  driver: 'uvcvideo',
  card: 'Camera',
  busInfo: 'usb-0000:00:14.0-4',
  deviceCaps: 0x0420_0001,
  deviceType: 0,
};

describe('v4l2/identity', () => {
  it('a link of by-id stands for a serial number, everything else for a port', () => {
    assert.equal(markOf('/dev/v4l/by-id/usb-Maker_Camera_A1-video-index0', camera), 'serial');
    assert.equal(markOf('/dev/v4l/by-id/usb-Maker_Camera-video-index0', but({}, '')), 'port');
    for (const path of ['/dev/video0', '/dev/v4l/by-path/pci-0-usb-0:4:1.0-video-index0', '/proc/self/fd/3'])
      assert.equal(markOf(path, camera), 'port', path);
  });

  it('is the same with all of it the same, by either mark', () => {
    assert.ok(isSameNode(camera, but({}), 'port'));
    assert.ok(isSameNode(camera, but({}), 'serial'));
  });

  for (const [what, change] of [
    ['class', { class: 'vbi' }],
    ['driver', { driver: 'gspca_main' }],
    ['name', { title: 'Webcam' }],
    ['index in its device', { index: 1 }],
  ] as const)
    it(`is another one with another ${what}, by either mark`, () => {
      assert.ok(!isSameNode(camera, but(change), 'port'));
      assert.ok(!isSameNode(camera, but(change), 'serial'));
    });

  it('by port: the port decides, whatever the serial number', () => {
    assert.ok(!isSameNode(camera, but({ device: OTHER_PORT }), 'port'));
    assert.ok(isSameNode(camera, but({}, 'B2'), 'port'));
  });

  it('by serial number: the number decides, whatever the port, but not the interface', () => {
    assert.ok(isSameNode(camera, but({ device: OTHER_PORT }), 'serial'));
    assert.ok(!isSameNode(camera, but({}, 'B2'), 'serial'));
    assert.ok(!isSameNode(camera, but({ device: OTHER_PORT.replace(':1.0', ':1.2') }), 'serial'));
  });

  describe('among all nodes', () => {
    const here = but({});
    const there = but({ device: OTHER_PORT });
    const third = but({ device: OTHER_PORT.replaceAll('1-2', '1-3') });

    it('of two twins it is the one in the port', () => {
      assert.equal(findSameNode(camera, [there, here], 'port'), here);
      assert.equal(findSameNode(camera, [there], 'port'), undefined);
    });

    it('of two with one serial number it is the one in the port, and none where neither is', () => {
      assert.equal(findSameNode(camera, [there], 'serial'), there);
      assert.equal(findSameNode(camera, [there, here], 'serial'), here);
      assert.equal(findSameNode(camera, [there, third], 'serial'), undefined);
    });
  });

  describe('what QUERYCAP says', () => {
    it('is the same with all of it the same', () => {
      assert.equal(compare(description, { ...description }, 'port'), 'same');
      assert.equal(compare(description, { ...description }, 'serial'), 'same');
    });

    it('is another device with another driver or card, by either mark', () => {
      for (const mark of ['port', 'serial'] as const) {
        assert.equal(compare(description, { ...description, driver: 'vivid' }, mark), 'other');
        assert.equal(compare(description, { ...description, card: 'Webcam' }, mark), 'other');
      }
    });

    it('bus_info decides by port only', () => {
      const moved = { ...description, busInfo: 'usb-0000:00:14.0-2' };
      assert.equal(compare(description, moved, 'port'), 'other');
      assert.equal(compare(description, moved, 'serial'), 'same');
    });

    it('has changed with other capabilities or another type: the guest has them since its probe', () => {
      assert.equal(compare(description, { ...description, deviceCaps: 0x0420_0000 }, 'port'), 'changed');
      assert.equal(compare(description, { ...description, deviceType: 1 }, 'port'), 'changed');
    });
  });
});
