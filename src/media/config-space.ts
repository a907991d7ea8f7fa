/**
 * The configuration space. The guest's driver registers its node from it (VIRTIO 1.4, Media Device, "Device
 * configuration layout").
 */

import type { NodeDescription, ToldNode } from '../v4l2/description.js';
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
export function configurationOf(description: NodeDescription): Uint8Array {
  return config.encode({ ...toldOf(description), card: cardName(description.card) });
}

/** What a guest is told of the node. */
export function toldOf({ deviceCaps, deviceType }: NodeDescription): ToldNode {
  return { deviceCaps: (deviceCaps & ~HIDDEN) >>> 0, deviceType };
}

function cardName(card: string): string {
  const characters = [...card];
  while (Buffer.byteLength(characters.join('')) > MAX_CARD_BYTES) characters.pop();
  return characters.join('');
}

/** What the node is now. */
export interface PresentNode {
  /** What it was when it was looked at last. */
  readonly description: NodeDescription;
  /** Looks at it. Resolves when `description` is fresh. null: the node hangs. */
  refresh(): Promise<void> | null;
  /** The look that is under way. null: there is none that anybody should wait for. */
  readonly pending: Promise<void> | null;
}

/**
 * What one guest is told. While its driver has the device, that is what the driver read at its probe, because it reads
 * the space again later. Otherwise it is what the node is now, for the next driver. A VM that is paused keeps its driver.
 */
export class ConfigSpace {
  #isDriven = false;
  /** The driver has sent OPEN since it reset the device. */
  #isUsed = false;
  /** What the driver read at its probe. null: it has not read yet. */
  #told: NodeDescription | null = null;
  /** What was read last while the queues stood still. null: nothing. */
  #readLast: NodeDescription | null = null;

  /** `present`: what the node is now. Absent: it stays as described. `card`: as in MediaDeviceOptions. */
  constructor(
    private readonly description: NodeDescription,
    private readonly present?: PresentNode,
    private readonly card?: string,
  ) {}

  /** The space as the guest sees it. */
  read(): Uint8Array {
    if (this.#isDriven) this.#told ??= this.#now;
    else this.#readLast = this.#now;
    return configurationOf((this.#isDriven ? this.#told : this.#readLast) ?? this.#now);
  }

  /**
   * Resolves when read() is what the node is now. null: it is. A driver that was told does not wait, whatever the node
   * does.
   */
  refresh(): Promise<void> | null {
    if (!this.#isDriven) return this.present?.refresh() ?? null;
    return this.#told ? null : (this.present?.pending ?? null);
  }

  /** What the guest's driver was told. */
  get told(): ToldNode {
    return toldOf(this.#told ?? this.#now);
  }

  /** The driver sends OPEN. */
  used(): void {
    this.#isUsed = true;
  }

  /**
   * A queue starts. If somebody has read since the queues stopped, that was a driver at its probe. A reset does not show
   * at the queues of a driver that has sent nothing, so such a driver counts as a new one.
   */
  started(): void {
    if (this.#isDriven) return;
    this.#isDriven = true;
    this.#told = this.#readLast ?? (this.#isUsed ? this.#told : null);
    this.#readLast = null;
  }

  /** The last queue has stopped. */
  stopped(): void {
    this.#isDriven = false;
    this.present?.refresh();
  }

  /** The guest has reset the device. */
  reset(): void {
    if (this.#isDriven) return;
    this.#told = null;
    this.#isUsed = false;
  }

  get #now(): NodeDescription {
    const description = this.present?.description ?? this.description;
    return this.card === undefined ? description : { ...description, card: this.card };
  }
}
