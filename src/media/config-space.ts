/** The configuration space: what the guest's driver registers its node as (VIRTIO 1.4, Media Device, "Device configuration layout"). */

import type { NodeDescription } from '../v4l2/description.js';
import { Capability } from '../v4l2/layout.js';
import { config } from './protocol.js';

/** Capabilities of the node that the guest's driver has no calls for. */
const HIDDEN =
  Capability.READWRITE |
  Capability.EDID |
  Capability.RDS_CAPTURE |
  Capability.VIDEO_OVERLAY |
  Capability.VIDEO_OUTPUT_OVERLAY |
  Capability.DEVICE_CAPS;

export function configurationOf({ deviceCaps, deviceType, card }: NodeDescription): Uint8Array {
  return config.encode({ deviceCaps: (deviceCaps & ~HIDDEN) >>> 0, deviceType, card: cardName(card) });
}

/** The driver copies 32 bytes: the last one stays 0. */
function cardName(card: string): string {
  let name = card;
  while (Buffer.byteLength(name) > 31) name = name.slice(0, -1);
  return name;
}
