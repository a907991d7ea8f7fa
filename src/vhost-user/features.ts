/** The feature bits that a back-end offers to its front-end. */

import { type Features, Protocol, Virtio } from './protocol.js';
import type { VmmOption } from './vmm-traits.js';

export interface BackendOptions {
  /** Which VMM the front-end is. `auto`: it is recognised by the protocol features that it negotiates. */
  readonly frontend?: VmmOption;
  /**
   * Offers CONFIGURE_MEM_SLOTS. QEMU 11.1 needs it for more than eight memory regions. But with it QEMU 11.1 crashes
   * if a guest resets the device while something is mapped in SHM region 0.
   */
  readonly memSlots?: boolean;
  /** Offers SHARED_OBJECT: other devices of the VM may ask for the objects of this device. */
  readonly objects?: boolean;
}

/** Virtio feature bits that are always offered. */
export const VIRTIO_FEATURES: Features =
  Virtio.VERSION_1 | Virtio.RING_INDIRECT_DESC | Virtio.RING_EVENT_IDX | Virtio.PROTOCOL_FEATURES;

/** Protocol feature bits to offer. `sharedMemorySize`: bytes of SHM region 0; 0: none. */
export function protocolFeaturesOf(options: BackendOptions, sharedMemorySize: number): Features {
  const { MQ, REPLY_ACK, BACKEND_REQ, CONFIG, BACKEND_SEND_FD, SHMEM } = Protocol;
  const always = MQ | REPLY_ACK | BACKEND_REQ | CONFIG | BACKEND_SEND_FD;
  const sharedMemory = sharedMemorySize > 0 ? SHMEM : 0n;
  const memorySlots = options.memSlots ? Protocol.CONFIGURE_MEM_SLOTS : 0n;
  const objects = options.objects ? Protocol.SHARED_OBJECT : 0n;
  return always | sharedMemory | memorySlots | objects;
}
