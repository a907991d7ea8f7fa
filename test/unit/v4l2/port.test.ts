/** Folders of devices in sysfs, with numbers that the kernel gives out and numbers that stay. */
import assert from 'node:assert/strict';
import { interfaceOf, portOf, portText } from '../../../src/v4l2/port.js';

const PCI = '/sys/devices/pci0000:00/0000:00:14.0';
const DWC = '/sys/devices/platform/soc/a600000.usb';

describe('v4l2/port', () => {
  for (const [what, before, after] of [
    ['a USB bus', `${PCI}/usb1/1-4/1-4:1.0`, `${PCI}/usb3/3-4/3-4:1.0`],
    ['a USB bus with hubs', `${PCI}/usb2/2-1/2-1.4/2-1.4:1.0`, `${PCI}/usb12/12-1/12-1.4/12-1.4:1.0`],
    ['a controller', `${DWC}/xhci-hcd.0.auto/usb1/1-1/1-1:1.0`, `${DWC}/xhci-hcd.3.auto/usb5/5-1/5-1:1.0`],
    ['an I2C bus', `${PCI}/i2c-5/5-004a/rmi4-00`, `${PCI}/i2c-11/11-004a/rmi4-00`],
  ] as const)
    it(`stays the same when ${what} gets another number`, () => assert.equal(portOf(before), portOf(after)));

  for (const [what, one, other] of [
    ['port', `${PCI}/usb1/1-4/1-4:1.0`, `${PCI}/usb1/1-5/1-5:1.0`],
    ['port of a hub', `${PCI}/usb1/1-4/1-4.1/1-4.1:1.0`, `${PCI}/usb1/1-4/1-4.2/1-4.2:1.0`],
    ['interface', `${PCI}/usb1/1-4/1-4:1.0`, `${PCI}/usb1/1-4/1-4:1.2`],
    ['controller', `${PCI}/usb1/1-4/1-4:1.0`, '/sys/devices/pci0000:00/0000:00:1a.0/usb1/1-4/1-4:1.0'],
    ['address', `${PCI}/i2c-5/5-004a`, `${PCI}/i2c-5/5-004b`],
    ['platform device', '/sys/devices/platform/vivid.0', '/sys/devices/platform/vivid.1'],
    [
      'controller of a platform',
      `${DWC}/xhci-hcd.0.auto/usb1/1-1`,
      `${DWC.replace('a6', 'a8')}/xhci-hcd.0.auto/usb1/1-1`,
    ],
  ] as const)
    it(`is another one for another ${what}`, () => assert.notEqual(portOf(one), portOf(other)));

  it('in words it is the port of a controller', () => {
    assert.equal(portText(`${PCI}/usb1/1-4/1-4.2/1-4.2:1.0`), 'port 4.2 of 0000:00:14.0');
    assert.equal(portText('/sys/devices/platform/vivid.0'), 'vivid.0');
  });

  it('has an interface if it is on USB', () => {
    assert.equal(interfaceOf(`${PCI}/usb1/1-4/1-4:1.2`), '1.2');
    assert.equal(interfaceOf('/sys/devices/platform/vivid.0'), '');
  });
});
