/** QUERYCAP of a host node. Guests do not have it: the driver in the guest answers it from the configuration space. */
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

/** Runs QUERYCAP. Resolves to its errno if it fails. */
export async function queryCap(ask: RunIoctl): Promise<NodeCapabilities | number> {
  const payload = Buffer.alloc(capability.size);
  const errno = await ask(Ioctl.QUERYCAP, payload);
  if (errno !== 0) return errno;
  const { driver, card, busInfo, capabilities, deviceCaps } = capability.read(payload);
  const own = (capabilities & Capability.DEVICE_CAPS) !== 0 ? deviceCaps : capabilities;
  return { driver, card, busInfo, deviceCaps: own };
}
