/** Description of a node: what QUERYCAP says, and the type that the kernel registered it as. */
import { readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { isFailure, type Result } from '../result.js';
import { type NodeCapabilities, queryCap } from './capabilities.js';
import { deviceFolder } from './discovery.js';
import type { RunIoctl } from './enumeration.js';
import { Capability } from './layout.js';
import { capabilityWords } from './names.js';

/** What QUERYCAP says, and the node's VFL_TYPE_*. */
export interface NodeDescription extends NodeCapabilities {
  readonly deviceType: number;
}

/** What a guest was told of the node when its driver probed the device. It stays until the driver probes it again. */
export type ToldNode = Pick<NodeDescription, 'deviceCaps' | 'deviceType'>;

/** What `now` lacks of what a guest was told, in words. Empty: it can do all of it. */
export function lackOf(told: ToldNode, now: ToldNode): string {
  if (told.deviceType !== now.deviceType) return 'the type of node';
  return capabilityWords(told.deviceCaps & ~now.deviceCaps).join(' ');
}

/** Whether all that `now` lacks is output. A guest that sends to v4l2loopback makes it a capture device itself. */
export function lacksOutputOnly(told: ToldNode, now: ToldNode): boolean {
  const lack = told.deviceCaps & ~now.deviceCaps;
  return told.deviceType === now.deviceType && (lack & ~(OUTPUT as number)) === 0;
}

const OUTPUT = Capability.VIDEO_OUTPUT | Capability.VIDEO_OUTPUT_MPLANE;

/** VFL_TYPE_* by the node's name in sysfs. The guest registers its own node with this type. */
const deviceTypes: readonly (readonly [RegExp, number])[] = [
  [/^video\d+$/, 0],
  [/^vbi\d+$/, 1],
  [/^radio\d+$/, 2],
  [/^swradio\d+$/, 4],
  [/^v4l-touch\d+$/, 5],
];

/** Queries an open file. `path`: the path that was opened. Rejects if the path is gone meanwhile. */
export async function describeNode(ask: RunIoctl, path: string): Promise<Result<NodeDescription>> {
  const identity = await queryCap(ask);
  return isFailure(identity) ? identity : { ...identity, deviceType: deviceTypeOf(path) };
}

function deviceTypeOf(path: string): number {
  const name = registeredName(path);
  return deviceTypes.find(([pattern]) => pattern.test(name))?.[1] ?? 0;
}

/**
 * The node's name in sysfs. A container may have the node without its entry in sysfs; then the name of its path is
 * used.
 */
function registeredName(path: string): string {
  try {
    return basename(readlinkSync(deviceFolder(statSync(path).rdev)));
  } catch {
    return basename(realpathSync(path));
  }
}
