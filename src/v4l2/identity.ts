/**
 * Identity of a node. With it the bridge recognises the node when its device comes back. The number in the path is
 * not enough, because another device may have it by then. Pure functions: others have read the facts.
 */

import { printable } from '../printable.js';
import type { NodeDescription } from './description.js';
import type { HostNodeEntry } from './discovery.js';
import { interfaceOf, portOf, portText } from './port.js';

/** What sysfs says about a node. The node need not be open. */
export interface NodeIdentity {
  readonly entry: Pick<HostNodeEntry, 'class' | 'driver' | 'title' | 'index' | 'device'>;
  /** Serial number of its USB device. Empty: it has none. */
  readonly serial: string;
  /** Vendor and product of its USB device (`046d:0825`). Empty or absent: it has none. */
  readonly model?: string;
  /** USB version of its bus. A controller has a bus for each version, and each numbers its ports from 1. */
  readonly bus?: string;
}

/**
 * What identifies the node, by the operator's choice of a path (docs/reliability.md, "Which device is served"):
 * `camera`: the device that was there, in its port; `port`: any device of its model in this port; `serial`: the serial
 * number, in any port; `name`: whatever the path leads to; `path`: the path alone, because sysfs does not show the node.
 */
export type IdentityMark = 'camera' | 'port' | 'serial' | 'name' | 'path';

/**
 * The mark for the operator's path. `isLink`: the path is a symbolic link. udev makes a link of /dev/v4l/by-id from the
 * serial number if the device has one, and from its model otherwise. A link of /dev/v4l/by-path stands for the port.
 */
export function markOf(
  path: string,
  { serial }: Pick<NodeIdentity, 'serial'>,
  isLink: boolean,
): IdentityMark {
  if (!isLink) return 'camera';
  if (/\/v4l\/by-path\/[^/]+$/.test(path)) return 'port';
  return /\/v4l\/by-id\/[^/]+$/.test(path) && serial !== '' ? 'serial' : 'name';
}

/** Whether `found` is the same node as `known`. Not for `name` and `path`: there the path decides. */
export function isSameNode(known: NodeIdentity, found: NodeIdentity, mark: IdentityMark): boolean {
  const [was, is] = [known.entry, found.entry];
  if (was.class !== is.class || was.driver !== is.driver || known.model !== found.model) return false;
  if (was.title !== is.title || was.index !== is.index) return false;
  if (mark === 'serial')
    return known.serial === found.serial && interfaceOf(was.device) === interfaceOf(is.device);
  return isInPort(known, found) && (mark === 'port' || known.serial === found.serial);
}

function isInPort(known: NodeIdentity, found: NodeIdentity): boolean {
  return portOf(known.entry.device) === portOf(found.entry.device) && known.bus === found.bus;
}

/**
 * Finds `known` among `all`. If several nodes have its serial number, the one in its port is chosen. undefined: there
 * is none, or the choice is not clear.
 */
export function findSameNode<T extends NodeIdentity>(
  known: NodeIdentity,
  all: readonly T[],
  mark: IdentityMark,
): T | undefined {
  const same = all.filter((found) => isSameNode(known, found, mark));
  const inPort = same.filter((found) => isInPort(known, found));
  if (inPort.length === 1) return inPort[0];
  return same.length === 1 ? same[0] : undefined;
}

/** Why findSameNode found nothing, in a sentence without a full stop. */
export function absenceOf(known: NodeIdentity, all: readonly NodeIdentity[], mark: IdentityMark): string {
  const same = all.filter((found) => isSameNode(known, found, mark));
  if (same.length > 1 && mark === 'serial')
    return `several devices have serial number ${printable(known.serial)}, and none of them is in its port: unplug the wrong one`;
  if (same.length > 1) return 'several nodes are like it: start the bridge anew, with the right one';
  const again = returnOf(known, mark);
  const { index } = known.entry;
  const other = all.find((found) => isInPort(known, found) && found.entry.index === index);
  if (known.entry.device === '' || !other) return `its device is gone: ${again}`;
  return `its port has another device (${nameOf(other)}, not ${nameOf(known)}): ${again}, or start the bridge anew`;
}

/** What brings the node back. */
function returnOf({ entry }: NodeIdentity, mark: IdentityMark): string {
  if (entry.device === '') return `load its driver again, with a node called ${printable(entry.title)}`;
  return mark === 'serial' ? 'plug it in again' : 'plug it in again, into the same port';
}

/** The device in words: name, model, serial number. */
export function nameOf({ entry, serial, model }: NodeIdentity): string {
  return printable([entry.title, model, serial && `serial number ${serial}`].filter(Boolean).join(', '));
}

/** What identifies the node, in words for the operator. `path`: the path that the operator gave. */
export function identityText(path: string, identity: NodeIdentity | null, mark: IdentityMark): string {
  if (mark === 'name') return `whatever ${path} leads to`;
  if (!identity) return `whatever is at ${path}`;
  const { entry } = identity;
  const serial = printable(identity.serial);
  if (mark === 'serial') return `the device with serial number ${serial}, in any port`;
  if (entry.device === '') return `the node called ${printable(entry.title)}`;
  if (mark === 'port') return `any device of its model in ${portText(entry.device)}`;
  return `the device in ${portText(entry.device)}${serial && `, with serial number ${serial}`}`;
}

/**
 * Whether QUERYCAP may be that of the same device: `known` is what it said before. bus_info counts only if nothing
 * else tells devices apart, because a driver may put numbers of the kernel into it.
 */
export function isSameDevice(known: NodeDescription, found: NodeDescription, mark: IdentityMark): boolean {
  if (mark === 'name') return true;
  if (mark === 'path' && known.busInfo !== found.busInfo) return false;
  return known.driver === found.driver && known.card === found.card;
}
