/** What a node says that it is: QUERYCAP, and the kind of node that it is registered as. */
import { readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { deviceFolder } from './discovery.js';
import { type NodeCapabilities, queryCap, type RunIoctl } from './enumeration.js';

/** What QUERYCAP says, and the VFL_TYPE_* of the node. */
export interface NodeDescription extends NodeCapabilities {
  readonly deviceType: number;
}

/** VFL_TYPE_* by the node's name in sysfs: what the guest registers its own node as. */
const deviceTypes: readonly (readonly [RegExp, number])[] = [
  [/^video\d+$/, 0],
  [/^vbi\d+$/, 1],
  [/^radio\d+$/, 2],
  [/^swradio\d+$/, 4],
  [/^v4l-touch\d+$/, 5],
];

/** Asks an open file; an errno where it refuses. `path`: what was opened. */
export async function queryCapabilities(ask: RunIoctl, path: string): Promise<NodeDescription | number> {
  const identity = await queryCap(ask);
  return typeof identity === 'number' ? identity : { ...identity, deviceType: deviceTypeOf(path) };
}

function deviceTypeOf(path: string): number {
  const name = registeredName(path);
  return deviceTypes.find(([pattern]) => pattern.test(name))?.[1] ?? 0;
}

/** A container may have the node without its entry in sysfs: then its own name has to do. */
function registeredName(path: string): string {
  try {
    return basename(readlinkSync(deviceFolder(statSync(path).rdev)));
  } catch {
    return basename(realpathSync(path));
  }
}
