/** The back-end of a connection, as the front-end's requests see it. */
import type { MemoryRegion } from '../virtio/guest-memory.js';
import type { Features, vringAddress } from './protocol.js';

/**
 * A ring, as requests configure it. A method removes the descriptors that it keeps from the list. Each method may
 * throw Refusal.
 */
export interface RingTarget {
  setSize(size: number): void;
  setAddress(address: ReturnType<typeof vringAddress.read>): void;
  setBase(base: number): void;
  setKick(descriptors: number[]): void;
  setCall(descriptors: number[]): void;
  setError(descriptors: number[]): void;
  enable(enabled: boolean): void;
}

/**
 * Guest memory, as requests change it. A method removes the descriptors that it keeps from the list. Each method may
 * throw Refusal or GuestMemoryError.
 */
export interface MemoryTarget {
  /** The i-th descriptor is that of the i-th region. */
  replace(regions: readonly MemoryRegion[], descriptors: number[]): void;
  add(region: MemoryRegion, descriptors: number[]): void;
  remove(region: MemoryRegion): void;
}

/**
 * A method removes the descriptors that it keeps from the list. Each method may throw Refusal or GuestMemoryError,
 * unless its comment says something else.
 */
export interface RequestTarget {
  readonly queueCount: number;
  readonly offeredFeatures: Features;
  readonly offeredProtocolFeatures: Features;
  /** Bytes of SHM region 0. */
  readonly sharedMemorySize: number;
  readonly memoryTable: MemoryTarget;
  /** VIRTIO device status, as SET_STATUS gave it. */
  readonly status: number;

  hasNegotiated(protocolFeatures: Features): boolean;
  /** Sends the reply to a request. The caller keeps the descriptors. */
  reply(request: number, body: Uint8Array, descriptors?: readonly number[]): void;
  setFeatures(bits: Features): void;
  setProtocolFeatures(bits: Features): void;
  /** Throws Refusal if there is no ring with this index. */
  vring(index: number): RingTarget;
  /** GET_VRING_BASE: stops the ring. Returns the index of the next available entry. Never throws. */
  stopVring(index: number): number;
  /** SET_BACKEND_REQ_FD. */
  attachChannel(descriptors: number[]): void;
  /** Resolves when the configuration space may be read. null or absent: at once. Never rejects. */
  configReady?(): Promise<void> | null;
  /** `size` bytes of the configuration space from `offset` on; zeros after its end. */
  readConfig(offset: number, size: number): Uint8Array;
  setStatus(status: number): void;
  resetDevice(): void;
  /** Descriptors of the object with this UUID; the device keeps them. Empty: there is no such object. */
  sharedObject(uuid: Uint8Array | null): readonly number[];
}
