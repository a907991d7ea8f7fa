/** When a node is the same node as before. One property is changed at a time. */
import assert from 'node:assert/strict';
import type { NodeDescription } from '../../../src/v4l2/description.js';
import {
  absenceOf,
  findSameNode,
  type IdentityMark,
  identityText,
  isSameDevice,
  isSameNode,
  markOf,
  type NodeIdentity,
} from '../../../src/v4l2/identity.js';

const DEVICE = '/sys/devices/pci0/0000:00:14.0/usb1/1-4/1-4:1.0';
const OTHER_PORT = '/sys/devices/pci0/0000:00:14.0/usb1/1-2/1-2:1.0';
const entry = { class: 'video', driver: 'uvcvideo', title: 'Camera', index: 0, device: DEVICE } as const;
const camera: NodeIdentity = { entry, serial: 'A1', model: '046d:0825', bus: '2.00' };
const but = (
  change: Partial<NodeIdentity['entry']>,
  more: Partial<Omit<NodeIdentity, 'entry'>> = {},
): NodeIdentity => ({ ...camera, ...more, entry: { ...entry, ...change } });
const searched: readonly IdentityMark[] = ['camera', 'port', 'serial'];

const description: NodeDescription = {
  driver: 'uvcvideo',
  card: 'Camera',
  busInfo: 'usb-0000:00:14.0-4',
  deviceCaps: 0x0420_0001,
  deviceType: 0,
};

describe('v4l2/identity', () => {
  describe('the operator’s path', () => {
    const links = {
      '/dev/v4l/by-id/usb-Maker_Camera_A1-video-index0': 'serial',
      '/dev/v4l/by-path/pci-0000:00:14.0-usb-0:4:1.0-video-index0': 'port',
      '/dev/deskcam': 'name',
      '/etc/cameras/by-id/desk': 'name',
    } as const;
    for (const [path, mark] of Object.entries(links))
      it(`${path} chooses ${mark}`, () => assert.equal(markOf(path, camera, true), mark));

    it('a link of by-id is a name like another one if the device has no serial number', () => {
      assert.equal(markOf('/dev/v4l/by-id/usb-Maker_Camera-video-index0', { serial: '' }, true), 'name');
    });

    it('a node itself chooses the camera that is there', () => {
      for (const path of ['/dev/video0', '/proc/self/fd/3'])
        assert.equal(markOf(path, camera, false), 'camera');
    });

    it('is said to the operator in words', () => {
      const text = (mark: IdentityMark, identity: NodeIdentity | null = camera) =>
        identityText('/dev/x', identity, mark);
      assert.equal(text('camera'), 'the device in port 4 of 0000:00:14.0, with serial number A1');
      assert.equal(text('camera', but({}, { serial: '' })), 'the device in port 4 of 0000:00:14.0');
      assert.equal(text('port'), 'any device of its model in port 4 of 0000:00:14.0');
      assert.equal(text('serial'), 'the device with serial number A1, in any port');
      assert.equal(text('name'), 'whatever /dev/x leads to');
      assert.equal(text('path', null), 'whatever is at /dev/x');
      assert.equal(text('camera', but({ device: '' }, { serial: '' })), 'the node called Camera');
      assert.equal(
        text('camera', but({ device: '/sys/devices/vivid.0' }, { serial: '' })),
        'the device in vivid.0',
      );
    });
  });

  it('is the same with all of it the same, by every mark', () => {
    for (const mark of searched) assert.ok(isSameNode(camera, but({}), mark), mark);
  });

  for (const [what, changed] of [
    ['class', but({ class: 'vbi' })],
    ['driver', but({ driver: 'gspca_main' })],
    ['name', but({ title: 'Webcam' })],
    ['index in its device', but({ index: 1 })],
    ['vendor or product', but({}, { model: '046d:0826' })],
  ] as const)
    it(`is another one with another ${what}, by every mark`, () => {
      for (const mark of searched) assert.ok(!isSameNode(camera, changed, mark), mark);
    });

  for (const [what, changed, same] of [
    ['port', but({ device: OTHER_PORT }), ['serial']],
    ['serial number', but({}, { serial: 'B2' }), ['port']],
    ['USB version of its bus', but({}, { bus: '3.00' }), ['serial']],
    ['interface', but({ device: DEVICE.replace(':1.0', ':1.2') }), []],
    ['number of its bus', but({ device: DEVICE.replaceAll('1-4', '3-4').replace('usb1', 'usb3') }), searched],
    ['controller', but({ device: DEVICE.replace('14.0', '15.0') }), ['serial']],
  ] as const)
    it(`with another ${what} it is the same by ${same.join(', ') || 'no mark'}`, () => {
      for (const mark of searched)
        assert.equal(isSameNode(camera, changed, mark), (same as readonly string[]).includes(mark), mark);
    });

  describe('among all nodes', () => {
    const here = but({});
    const there = but({ device: OTHER_PORT });
    const third = but({ device: OTHER_PORT.replaceAll('1-2', '1-3') });

    it('of two twins it is the one in the port', () => {
      for (const mark of ['camera', 'port'] as const) {
        assert.equal(findSameNode(camera, [there, here], mark), here);
        assert.equal(findSameNode(camera, [there], mark), undefined);
      }
    });

    it('of two with one serial number it is the one in the port, and none where neither is', () => {
      assert.equal(findSameNode(camera, [there], 'serial'), there);
      assert.equal(findSameNode(camera, [there, here], 'serial'), here);
      assert.equal(findSameNode(camera, [there, third], 'serial'), undefined);
    });

    it('a name that a device gives itself brings no control characters to the operator', () => {
      const hostile = but({ title: 'Cam\u001b[2J\nera' }, { serial: 'A\u0007é' });
      assert.match(
        absenceOf(camera, [hostile], 'camera'),
        /\(Cam\?\[2J\?era, 046d:0825, serial number A\?é, not/,
      );
      assert.equal(
        identityText('/dev/x', hostile, 'serial'),
        'the device with serial number A?é, in any port',
      );
    });

    it('if it is none, the operator is told what is there instead', () => {
      assert.match(absenceOf(camera, [there], 'camera'), /^its device is gone: .* same port$/);
      assert.match(absenceOf(camera, [], 'serial'), /^its device is gone: plug it in again$/);
      assert.match(absenceOf(camera, [there, third], 'serial'), /^several devices have serial number A1/);
      const twin = but({}, { serial: 'B2' });
      const words = /another device \(Camera, 046d:0825, serial number B2, not .* serial number A1\)/;
      assert.match(absenceOf(camera, [twin], 'camera'), words);
      assert.match(absenceOf(camera, [but({ title: 'Webcam' })], 'port'), /another device \(Webcam, /);
      const metadata = but({ index: 1 });
      assert.match(absenceOf(camera, [metadata], 'camera'), /^its device is gone/);
      const virtual = but({ device: '' }, { serial: '', model: '' });
      const other = but({ device: '', title: 'B' }, { serial: '', model: '' });
      const again = /^its device is gone: load its driver again, with a node called Camera$/;
      assert.match(absenceOf(virtual, [other], 'camera'), again);
    });
  });

  describe('what QUERYCAP says', () => {
    it('is of another device with another driver or card, unless the operator’s name decides', () => {
      for (const change of [{ driver: 'vivid' }, { card: 'Webcam' }])
        for (const mark of [...searched, 'path', 'name'] as const)
          assert.equal(isSameDevice(description, { ...description, ...change }, mark), mark === 'name', mark);
    });

    it('bus_info decides only if nothing else is known', () => {
      const moved = { ...description, busInfo: 'usb-xhci-hcd.2.auto-4' };
      for (const mark of [...searched, 'name', 'path'] as const)
        assert.equal(isSameDevice(description, moved, mark), mark !== 'path', mark);
    });
  });
});
