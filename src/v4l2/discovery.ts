/**
 * The V4L2 nodes of the host, as sysfs and /dev show them. No node is opened, so the list has also nodes that this
 * user may not open.
 */
import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { otherwise } from './refusal.js';

/** Class of a node: its name in sysfs without the number. */
export type NodeClass = 'video' | 'vbi' | 'radio' | 'swradio' | 'v4l-touch' | 'v4l-subdev';

/** One V4L2 node, from its files in sysfs and its links in /dev. */
export interface HostNodeEntry {
  /** Name in sysfs: `video0`. */
  readonly name: string;
  /** Path of the node: `/dev/video0`. */
  readonly path: string;
  readonly class: NodeClass;
  /** Name that the kernel gives the node. It is often, but not always, the name of the card. */
  readonly title: string;
  /** Index among the nodes of the same physical device. */
  readonly index: number;
  /** Kernel driver of the physical device. Empty: it has none. */
  readonly driver: string;
  /** Folder of the physical device below /sys/devices. Empty: there is none. */
  readonly device: string;
  /** Links that stay when nodes get other numbers: /dev/v4l/by-id, /dev/v4l/by-path. */
  readonly links: readonly string[];
}

/** Root folders to look in. The tests use a tree of their own. */
export interface Roots {
  readonly sysfs: string;
  readonly dev: string;
}

/** The root folders of this host. */
export const hostRoots: Roots = { sysfs: '/sys', dev: '/dev' };

const nodeName = /^(video|vbi|radio|swradio|v4l-touch|v4l-subdev)(\d+)$/;
const linkFolders = ['v4l/by-id', 'v4l/by-path'];

/** Folder of a character device in sysfs. `rdev`: device number, as stat(2) returns it. */
export function deviceFolder(rdev: number, roots: Roots = hostRoots): string {
  const major = (rdev >> 8) & 0xfff;
  const minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
  return join(roots.sysfs, 'dev/char', `${major}:${minor}`);
}

/**
 * All V4L2 nodes of the host, sorted by class and number. Empty if the class directory is absent (no V4L2 driver is
 * loaded). Rejects if the host is short of descriptors or memory: facts would be missing, and the rest would describe
 * another node.
 */
export async function hostNodes(roots: Roots = hostRoots): Promise<HostNodeEntry[]> {
  const folder = join(roots.sysfs, 'class/video4linux');
  const names = (await entriesOf(folder)).filter((name) => nodeName.test(name)).sort(byClassAndNumber);
  const links = await stableLinks(roots);
  return Promise.all(names.map((name) => entry(roots, join(folder, name), name, links)));
}

/** The entry of a path: a node's own name or any link to it. undefined: sysfs knows no node there. */
export async function findNode(path: string, roots: Roots = hostRoots): Promise<HostNodeEntry | undefined> {
  const target = await realpath(path).catch(() => resolve(path));
  return (await hostNodes(roots)).find((node) => node.path === target);
}

/**
 * The entry of a device number, without its links. undefined: sysfs has no node of this number, or it is not a V4L2
 * node.
 */
export async function nodeOfNumber(
  rdev: number,
  roots: Roots = hostRoots,
): Promise<HostNodeEntry | undefined> {
  const folder = await realpath(deviceFolder(rdev, roots)).catch(otherwise(''));
  const name = basename(folder);
  return nodeName.test(name) ? entry(roots, folder, name, new Map()) : undefined;
}

/** What identifies a USB device. Each is empty if the device has none, or is no USB device. */
export interface UsbIdentity {
  readonly serial: string;
  /** Vendor and product, each four hexadecimal digits: `046d:0825`. */
  readonly model: string;
  /** USB version of the bus: `2.00`. */
  readonly bus: string;
}

/** The USB device that the node's interface belongs to. */
export async function usbOf({ device }: Pick<HostNodeEntry, 'device'>): Promise<UsbIdentity> {
  const [rootHub] = /^.*\/usb\d+(?=\/)/.exec(device) ?? [];
  if (rootHub === undefined) return { serial: '', model: '', bus: '' };
  const [serial, vendor, product, bus] = await Promise.all([
    ...['serial', 'idVendor', 'idProduct'].map((name) => attribute(join(device, '..', name))),
    attribute(join(rootHub, 'version')),
  ]);
  return { serial: serial!, model: [vendor, product].filter(Boolean).join(':'), bus: bus! };
}

async function entry(
  roots: Roots,
  folder: string,
  name: string,
  links: ReadonlyMap<string, string[]>,
): Promise<HostNodeEntry> {
  const [title, index, uevent, device, driver] = await Promise.all([
    attribute(join(folder, 'name')),
    attribute(join(folder, 'index')),
    attribute(join(folder, 'uevent')),
    realpath(join(folder, 'device')).catch(otherwise('')),
    readlink(join(folder, 'device/driver')).catch(otherwise('')),
  ]);
  const path = join(roots.dev, /^DEVNAME=(.+)$/m.exec(uevent)?.[1] ?? name);
  return {
    name,
    path,
    class: nodeName.exec(name)![1] as NodeClass,
    title,
    index: Number(index) || 0,
    driver: basename(driver),
    device,
    links: links.get(path) ?? [],
  };
}

/** Node path -> the links of /dev/v4l that lead to it. */
async function stableLinks(roots: Roots): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const folder of linkFolders.map((name) => join(roots.dev, name))) {
    for (const name of (await entriesOf(folder)).sort()) {
      const target = await readlink(join(folder, name)).catch(() => '');
      if (target === '') continue;
      const path = resolve(folder, target);
      found.set(path, [...(found.get(path) ?? []), join(folder, name)]);
    }
  }
  return found;
}

function byClassAndNumber(left: string, right: string): number {
  const [, leftClass, leftNumber] = nodeName.exec(left)!;
  const [, rightClass, rightNumber] = nodeName.exec(right)!;
  const order = classOrder.indexOf(leftClass as NodeClass) - classOrder.indexOf(rightClass as NodeClass);
  return order || Number(leftNumber) - Number(rightNumber);
}

const classOrder: readonly NodeClass[] = ['video', 'vbi', 'radio', 'swradio', 'v4l-touch', 'v4l-subdev'];

const entriesOf = (folder: string): Promise<string[]> => readdir(folder).catch(otherwise([]));
const attribute = (path: string): Promise<string> =>
  readFile(path, 'utf8').then((text) => text.trim(), otherwise(''));
