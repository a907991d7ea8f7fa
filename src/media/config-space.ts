/**
 * The configuration space. The guest's driver registers its node from it (VIRTIO 1.4, Media Device, "Device
 * configuration layout").
 */

import type { NodeDescription } from '../v4l2/description.js';
import { Capability } from '../v4l2/layout.js';
import { config, MAX_CARD_BYTES } from './protocol.js';

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

function cardName(card: string): string {
  const characters = [...card];
  while (Buffer.byteLength(characters.join('')) > MAX_CARD_BYTES) characters.pop();
  return characters.join('');
}
