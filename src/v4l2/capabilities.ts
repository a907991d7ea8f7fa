/** QUERYCAP of a host node. Guests do not have it: the driver in the guest answers it from the configuration space. */
import { failure, type Result } from '../result.js';
import type { RunIoctl } from './enumeration.js';
import { Ioctl } from './ioctls.js';
import { Capability, capability } from './layout.js';

/** The answer of QUERYCAP. */
export interface NodeCapabilities {
  readonly driver: string;
  readonly card: string;
  readonly busInfo: string;
  /** device_caps. If the driver has none: capabilities. */
  readonly deviceCaps: number;
}

/** Runs QUERYCAP. */
export async function queryCap(ask: RunIoctl): Promise<Result<NodeCapabilities>> {
  const payload = Buffer.alloc(capability.size);
  const errno = await ask(Ioctl.QUERYCAP, payload);
  if (errno !== 0) return failure(errno);
  const { driver, card, busInfo, capabilities, deviceCaps } = capability.read(payload);
  const own = (capabilities & Capability.DEVICE_CAPS) !== 0 ? deviceCaps : capabilities;
  return { driver, card, busInfo, deviceCaps: own };
}
