/**
 * The port of a device: its folder in sysfs without the numbers that the kernel gives out. The number of a bus changes
 * when its controller is bound anew or comes back from a suspend; controllers, ports and addresses stay. udev makes its
 * ID_PATH in the same way.
 */

/** What the kernel numbers, and the part of it that stays. */
const numberings: readonly (readonly [RegExp, string])[] = [
  // A USB root hub, and a device or interface below it: usb3, 3-1.4, 3-1.4:1.0.
  [/\/usb\d+(?=\/|$)/g, '/usb'],
  // The same for I2C, whose addresses are hexadecimal: i2c-5, 5-004a.
  [/\/i2c-\d+(?=\/|$)/g, '/i2c'],
  [/\/\d+-([\da-f.]+)(?=[:/]|$)/g, '/-$1'],
  // A child of a platform device that asks for any number (PLATFORM_DEVID_AUTO): xhci-hcd.2.auto.
  [/\.\d+\.auto(?=\/|$)/g, '.auto'],
];

/** `device`: folder of the device in sysfs. Empty for a device without one. */
export function portOf(device: string): string {
  return numberings.reduce((path, [pattern, stays]) => path.replace(pattern, stays), device);
}

/** The port in words: `port 1.4 of 0000:00:14.0`, or the device's own name if it is not on USB. */
export function portText(device: string): string {
  const usb = /\/([^/]+)\/usb\d+\/(?:.*\/)?\d+-([\d.]+)(?::[\d.]+)?$/.exec(device);
  return usb ? `port ${usb[2]} of ${usb[1]}` : device.slice(device.lastIndexOf('/') + 1);
}

/** The last part of a USB interface's name (`1.0`). A device with two cameras has one interface for each. */
export function interfaceOf(device: string): string {
  return /:(\d+\.\d+)$/.exec(device)?.[1] ?? '';
}
