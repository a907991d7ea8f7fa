/**
 * The configuration space. The guest's driver registers its node from it (VIRTIO 1.4, Media Device, "Device
 * configuration layout").
 */

import type { NodeDescription } from '../v4l2/description.js';
import { Capability } from '../v4l2/layout.js';
import { config } from './protocol.js';

/** Capabilities that the guest does not see, because its driver has no calls for them. */
const HIDDEN =
  Capability.READWRITE |
  Capability.EDID |
  Capability.RDS_CAPTURE |
  Capability.VIDEO_OVERLAY |
  Capability.VIDEO_OUTPUT_OVERLAY |
  Capability.DEVICE_CAPS;

/**
 * The configuration space of a node: 40 bytes, as `config` of protocol.ts. `deviceCaps` are the node's capabilities
 * without the hidden ones. `card` is UTF-8 of at most 31 bytes, cut between characters.
 */
export function configurationOf({ deviceCaps, deviceType, card }: NodeDescription): Uint8Array {
  return config.encode({ deviceCaps: (deviceCaps & ~HIDDEN) >>> 0, deviceType, card: cardName(card) });
}

/** The driver copies 32 bytes, so the last one must stay 0. */
function cardName(card: string): string {
  let name = card;
  while (Buffer.byteLength(name) > 31) name = name.slice(0, -1);
  return name;
}
