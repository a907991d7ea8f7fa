/**
 * What a node is, so that it is known again when its device comes back. The number in its path says nothing: another
 * device may have it by then. Pure: works on what others have read.
 */

import type { NodeDescription } from './description.js';
import type { HostNodeEntry } from './discovery.js';

/** What sysfs says of a node without its being opened. */
export interface NodeIdentity {
  readonly entry: Pick<HostNodeEntry, 'class' | 'driver' | 'title' | 'index' | 'device'>;
  /** Serial number of its USB device; empty where it has none. */
  readonly serial: string;
}

/**
 * What tells two devices of one model apart. `port`: where they are plugged in, so that one in another port is another
 * one. `serial`: their serial number, in whatever port.
 */
export type IdentityMark = 'port' | 'serial';

/** The mark that the operator's path stands for: udev makes the links of by-id from model and serial number. */
export function markOf(path: string, { serial }: NodeIdentity): IdentityMark {
  return /\/v4l\/by-id\/[^/]+$/.test(path) && serial !== '' ? 'serial' : 'port';
}

/** Whether `found` is the node that `known` was. */
export function isSameNode(known: NodeIdentity, found: NodeIdentity, mark: IdentityMark): boolean {
  const [was, is] = [known.entry, found.entry];
  if (was.class !== is.class || was.driver !== is.driver) return false;
  if (was.title !== is.title || was.index !== is.index) return false;
  if (mark === 'port') return was.device === is.device;
  return known.serial === found.serial && interfaceOf(was.device) === interfaceOf(is.device);
}

/** The node that `known` was, among all; of several that its serial number fits, the one in its port, else none. */
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

/** `changed`: the same device, but not what the guest was told that it is. */
export type Verdict = 'same' | 'changed' | 'other';

/** Compares what QUERYCAP says with what it said when the guest's configuration space was made. */
export function compare(known: NodeDescription, found: NodeDescription, mark: IdentityMark): Verdict {
  if (known.driver !== found.driver || known.card !== found.card) return 'other';
  if (mark === 'port' && known.busInfo !== found.busInfo) return 'other';
  const isAsTold = known.deviceCaps === found.deviceCaps && known.deviceType === found.deviceType;
  return isAsTold ? 'same' : 'changed';
}

/** Number and alternate of a USB interface: a device with two cameras has one for each. */
function interfaceOf(device: string): string {
  return /:(\d+\.\d+)$/.exec(device)?.[1] ?? '';
}
