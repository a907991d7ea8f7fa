/** The back-end of one connection: negotiated features, guest memory, the rings, and the calls to the device. */
import { fstatSync } from 'node:fs';
import { Errno } from '../errno.js';
import { log } from '../log.js';
import { GuestMemory } from '../virtio/guest-memory.js';
import type { Queue } from '../virtio/queue.js';
import { BackendChannel } from './backend-channel.js';
import { Connection } from './connection.js';
import type { Device } from './device.js';
import { guarded, logFault } from './fault.js';
import { type BackendOptions, protocolFeaturesOf, VIRTIO_FEATURES } from './features.js';
import { MemoryTable } from './memory-table.js';
import { type Features, HeaderFlags, Protocol, Virtio } from './protocol.js';
import { Refusal, refuseUnoffered } from './refusal.js';
import type { RequestTarget } from './request-target.js';
import { handle } from './requests.js';
import { vmmTraitsOf } from './vmm-traits.js';
import { Vring, type VringOwner } from './vring.js';

/** commandq and eventq. */
export const QUEUE_COUNT = 2;

export interface BackendSetup {
  /** A connected socket. The back-end owns it. */
  readonly fd: number;
  readonly device: Device;
  readonly options?: BackendOptions;
  /** Called once, after everything is released, unless close() was called. null: the front-end has left. */
  readonly onEnd: (error: Error | null) => void;
}

export class Backend implements RequestTarget, VringOwner {
  readonly memory = new GuestMemory();
  readonly memoryTable: MemoryTable;
  /** The device status that SET_STATUS gave. The protocol feature STATUS is not offered. */
  status = 0;
  readonly #setup: BackendSetup;
  readonly #device: Device;
  readonly #options: BackendOptions;
  readonly #connection: Connection;
  readonly #channel: BackendChannel;
  readonly #vrings: readonly Vring[];
  #features: Features | null = null;
  #protocolFeatures: Features = 0n;
  #connected = false;
  /** The guest has negotiated other features, so it has reset the device, even if the rings do not show it. */
  #renegotiated = false;
  #failing = false;
  #closed = false;

  /** Throws if the descriptor cannot be polled, and closes it in that case. */
  constructor(setup: BackendSetup) {
    this.#setup = setup;
    this.#device = setup.device;
    this.#options = setup.options ?? {};
    this.#vrings = Array.from({ length: QUEUE_COUNT }, (_, index) => new Vring(index, this));
    this.#channel = new BackendChannel(
      (error) => this.failed(error),
      () => this.#endIfAbandoned(),
    );
    this.memoryTable = new MemoryTable(
      this.memory,
      (identity) => this.#channel.isMapped(identity),
      () => {
        for (const vring of this.#vrings) vring.memoryChanged();
      },
    );
    this.#connection = new Connection({
      fd: setup.fd,
      carries: 'requests',
      onMessage: (message) => handle(this, message),
      onEnd: (error) => this.#end(error),
    });
  }

  get queueCount(): number {
    return this.#vrings.length;
  }

  get features(): Features | null {
    return this.#features;
  }

  get sharedMemorySize(): number {
    return this.#device.sharedMemorySize;
  }

  get offeredFeatures(): Features {
    return VIRTIO_FEATURES;
  }

  get offeredProtocolFeatures(): Features {
    return protocolFeaturesOf(this.#options, this.sharedMemorySize);
  }

  hasNegotiated(protocolFeatures: Features): boolean {
    return (this.#protocolFeatures & protocolFeatures) === protocolFeatures;
  }

  /** The caller keeps the descriptors. If the front-end does not read its replies, the reply is sent without them. */
  reply(request: number, body: Uint8Array, descriptors: readonly number[] = []): void {
    const errno = this.#connection.send(request, HeaderFlags.REPLY, body, descriptors);
    if (errno === Errno.EAGAIN) this.#connection.send(request, HeaderFlags.REPLY, body);
  }

  setFeatures(bits: Features): void {
    refuseUnoffered('virtio', bits, this.offeredFeatures);
    if (this.#features !== null && bits !== this.#features) {
      if (this.#vrings.some((vring) => vring.running)) throw new Refusal('SET_FEATURES while rings run');
      this.#renegotiated = true;
    }
    this.#features = bits;
    for (const vring of this.#vrings) {
      // Without VHOST_USER_F_PROTOCOL_FEATURES the front-end does not enable a ring: it is enabled here.
      if (bits & Virtio.PROTOCOL_FEATURES) vring.start();
      else vring.enable(true);
    }
  }

  setProtocolFeatures(bits: Features): void {
    refuseUnoffered('protocol', bits, this.offeredProtocolFeatures);
    this.#protocolFeatures = bits;
  }

  /** Throws Refusal if there is no ring with this index. */
  vring(index: number): Vring {
    const vring = this.#vrings[index];
    if (!vring) throw new Refusal(`there is no ring ${index}`);
    return vring;
  }

  /** GET_VRING_BASE. Its reply has no place for an error: a ring that does not exist answers 0. */
  stopVring(index: number): number {
    return this.#vrings[index]?.stop() ?? 0;
  }

  configReady(): Promise<void> | null {
    return this.#device.refreshConfig?.() ?? null;
  }

  /** Zeros after the end of the space. Never shorter than `size`: some VMMs exit on a shorter reply. */
  readConfig(offset: number, size: number): Uint8Array {
    const read = Buffer.alloc(size);
    read.set(this.#device.config.subarray(offset, offset + size));
    return read;
  }

  /** The device keeps the descriptors. Empty: there is no such object, or the device is not connected. */
  sharedObject(uuid: Uint8Array | null): readonly number[] {
    let fd: number | null = null;
    guarded(() => {
      if (uuid && this.#connected) fd = this.#device.object?.(uuid) ?? null;
    });
    return fd === null ? [] : [fd];
  }

  attachChannel(descriptors: number[]): void {
    if (!fstatSync(descriptors[0]!).isSocket()) throw new Refusal('the back-end channel is no socket');
    this.#channel.attach(descriptors.shift()!);
  }

  setStatus(status: number): void {
    this.status = status;
    if (status === 0) this.#contained(() => this.#reset());
  }

  resetDevice(): void {
    this.status = 0;
    for (const vring of this.#vrings) vring.enable(false);
    this.#contained(() => this.#reset());
  }

  /** Closes the connection, logs what happens to the VM, and releases all. No onEnd follows. May be called twice. */
  close(): void {
    if (this.#closed) return;
    const { name, onBackendExit } = vmmTraitsOf(this.#protocolFeatures, this.#options.frontend);
    const running = this.#vrings.some((vring) => vring.running);
    log.warn(`leaving a VM: ${onBackendExit[running ? 'running' : 'stopped']}`, { frontend: name });
    this.#release();
  }

  #release(): void {
    this.#closed = true;
    this.#connection.close();
    for (const vring of this.#vrings) guarded(() => vring.close());
    guarded(() => this.#channel.close());
    if (this.#connected) guarded(() => this.#device.disconnected());
    this.memory.close();
  }

  // The methods of VringOwner.

  started(vring: Vring, queue: Queue): void {
    const begun = this.#contained(() => {
      this.#connect();
      if (this.#renegotiated || this.#vrings.some(({ remade }) => remade)) this.#reset();
      if (this.#vrings.every(({ running }) => running)) this.#channel.start();
      this.#device.queueStarted(vring.index, queue);
    });
    if (!begun) throw new Refusal(`ring ${vring.index}: the device failed`);
  }

  kicked(vring: Vring): void {
    this.#contained(() => this.#device.queueKicked(vring.index));
  }

  stopping(vring: Vring): void {
    this.#channel.stop();
    this.#contained(() => this.#device.queueStopped(vring.index));
    this.#endIfAbandoned();
  }

  broke(_vring: Vring): void {
    this.#channel.stop();
  }

  /**
   * The device threw. Its sessions end; its rings stop and signal their error descriptors. It starts again with the
   * guest's driver. The connection stays and requests are answered, because QEMU aborts without a back-end.
   */
  failed(error: unknown): void {
    logFault(error);
    if (this.#failing || this.#closed) return;
    this.#failing = true;
    this.#channel.stop();
    for (const vring of this.#vrings) guarded(() => vring.fail());
    if (this.#connected) guarded(() => this.#device.reset());
    this.#failing = false;
  }

  /** Runs code of the device. Returns false if it threw. */
  #contained(run: () => void): boolean {
    try {
      run();
      return true;
    } catch (error) {
      this.failed(error);
      return false;
    }
  }

  /** Called when negotiation is over: logs which VMM it is, and connects the device. */
  #connect(): void {
    if (this.#connected) return;
    const vmm = vmmTraitsOf(this.#protocolFeatures, this.#options.frontend);
    const { SHMEM, SHARED_OBJECT, BACKEND_REQ } = Protocol;
    const maps = this.hasNegotiated(SHMEM | BACKEND_REQ);
    const objects = this.hasNegotiated(SHARED_OBJECT | BACKEND_REQ);
    this.#channel.configure(vmm, maps ? this.sharedMemorySize : 0, objects);
    log.info('the front-end starts the device', {
      frontend: vmm.name,
      features: `0x${(this.#features ?? 0n).toString(16)}`,
      protocol: `0x${this.#protocolFeatures.toString(16)}`,
    });
    if (!maps && this.sharedMemorySize > 0)
      log.warn('the front-end has no shared memory: the guest cannot use MMAP buffers');
    this.#device.connected(this.memory, this.#channel);
    this.#connected = true;
  }

  #reset(): void {
    this.#renegotiated = false;
    for (const vring of this.#vrings) vring.forget();
    this.#channel.reset();
    if (this.#connected) this.#device.reset();
  }

  /**
   * If a VMM stops the device and closes the channel, it has reset the device (libkrun) or removed it (QEMU's
   * device_del, which keeps the connection). The sessions end at once, because the device may never be started again.
   */
  #endIfAbandoned(): void {
    if (this.#closed || !this.#channel.abandoned || this.#vrings.some(({ running }) => running)) return;
    this.#contained(() => this.#reset());
  }

  #end(error: Error | null): void {
    if (this.#closed) return;
    this.#release();
    this.#setup.onEnd(error);
  }
}
