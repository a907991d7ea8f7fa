/**
 * Identity of a node. With it the bridge recognises the node when its device comes back. The number in the path is
 * not enough, because another device may have it by then. Pure functions: others have read the facts.
 */

import type { NodeDescription } from './description.js';
import type { HostNodeEntry } from './discovery.js';

/** What sysfs says about a node. The node need not be open. */
export interface NodeIdentity {
  readonly entry: Pick<HostNodeEntry, 'class' | 'driver' | 'title' | 'index' | 'device'>;
  /** Serial number of its USB device. Empty: it has none. */
  readonly serial: string;
}

/**
 * How two devices of one model are told apart. `port`: by their port, so a device in another port is another device.
 * `serial`: by their serial number, in any port.
 */
export type IdentityMark = 'port' | 'serial';

/**
 * The mark for the operator's path. A link of /dev/v4l/by-id means `serial` if the device has a serial number,
 * because udev makes these links from model and serial number. Any other path means `port`.
 */
export function markOf(path: string, { serial }: NodeIdentity): IdentityMark {
  return /\/v4l\/by-id\/[^/]+$/.test(path) && serial !== '' ? 'serial' : 'port';
}

/** Whether `found` is the same node as `known`. */
export function isSameNode(known: NodeIdentity, found: NodeIdentity, mark: IdentityMark): boolean {
  const [was, is] = [known.entry, found.entry];
  if (was.class !== is.class || was.driver !== is.driver) return false;
  if (was.title !== is.title || was.index !== is.index) return false;
  if (mark === 'port') return was.device === is.device;
  return known.serial === found.serial && interfaceOf(was.device) === interfaceOf(is.device);
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
  const inPort = same.filter(({ entry }) => entry.device === known.entry.device);
  if (inPort.length === 1) return inPort[0];
  return same.length === 1 ? same[0] : undefined;
}

/** `changed`: the same device, but with other capabilities or another type than the guest was told. */
export type Verdict = 'same' | 'changed' | 'other';

/**
 * Compares what QUERYCAP says now (`found`) with what it said when the guest's configuration space was made
 * (`known`).
 */
export function compare(known: NodeDescription, found: NodeDescription, mark: IdentityMark): Verdict {
  if (known.driver !== found.driver || known.card !== found.card) return 'other';
  if (mark === 'port' && known.busInfo !== found.busInfo) return 'other';
  const isAsTold = known.deviceCaps === found.deviceCaps && known.deviceType === found.deviceType;
  return isAsTold ? 'same' : 'changed';
}

/** The last part of a USB interface's name (`1.0`). A device with two cameras has one interface for each. */
function interfaceOf(device: string): string {
  return /:(\d+\.\d+)$/.exec(device)?.[1] ?? '';
}
