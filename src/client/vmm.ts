/**
 * A vhost-user front-end with its own guest memory. It speaks to a back-end like one of the four VMMs. A GuestDriver
 * runs on it.
 */
import { closeSync } from 'node:fs';
import { config as configSpace } from '../media/protocol.js';
import { native } from '../native.js';
import { BackendRequest, Protocol, Virtio } from '../vhost-user/protocol.js';
import { BackendRequests, type Judge, type Verdict } from './backend-requests.js';
import { ControlChannel } from './control-channel.js';
import { Conversation } from './conversation.js';
import { DriverQueue } from './driver-queue.js';
import { Heap } from './heap.js';
import type { InterruptHandler, Machine } from './machine.js';
import { type AnnouncedRegion, MemfdRam } from './memfd-ram.js';
import { MAX_TABLE_REGIONS } from './memory-table.js';
import type { Piece } from './pieces.js';
import { RingLink } from './ring-link.js';
import { type MapRequest, SharedMemoryRegion } from './shm-window.js';
import { type StopStep, type VmmName, type VmmTranscript, vmmTranscripts } from './vmm-transcripts.js';

const QUEUES = 2;

export interface VmmOptions {
  readonly vmm: VmmName | VmmTranscript;
  /** Protocol features to acknowledge if the back-end offers them; by default those of the VMM transcript. */
  readonly protocolFeatures?: bigint;
  /** Virtio features that the guest driver accepts if they are offered; by default those of the VMM transcript. */
  readonly virtioFeatures?: bigint;
  /** Descriptors of each queue: a power of two. */
  readonly queueSize: number;
  /** Guest-physical ranges of RAM in bytes, multiples of the page size. */
  readonly ram: readonly Piece[];
  /** Milliseconds to wait for each answer of the back-end. */
  readonly timeout: number;
  /** Bytes of SHM region 0 if the VMM transcript does not ask the back-end for its size. */
  readonly shmSize: number;
  /** Runs before a request of the back-end is carried out, and decides about it. It may delay the request. */
  readonly judge: Judge;
}

export const defaults: VmmOptions = {
  vmm: 'qemu',
  queueSize: 256,
  ram: [{ address: 0x4000_0000, length: 16 << 20 }],
  timeout: 5000,
  shmSize: 4 * 2 ** 30,
  judge: () => 'serve',
};

export class Vmm implements Machine {
  readonly heap: Heap;
  readonly transcript: VmmTranscript;
  readonly conversation: Conversation;
  /** Tests of the back-end send any request here. */
  readonly control: ControlChannel;
  readonly rings: readonly RingLink[];
  sharedMemory = new SharedMemoryRegion(0, 'refuse');
  /** Shared objects that the back-end has announced: UUIDs in hexadecimal. */
  readonly objects = new Set<string>();
  /** CONFIG_CHANGE requests of the back-end so far. */
  configChanges = 0;
  /** Why a real VMM would have ended by now; undefined: it would still run. */
  crash: string | undefined;
  /** Messages that a real VMM would have written to its stderr. */
  readonly warnings: string[] = [];
  readonly #options: VmmOptions;
  readonly #ram: MemfdRam;
  #channel: BackendRequests | undefined;
  #driver: InterruptHandler | undefined;
  #running = false;
  #closed: Error | undefined;
  /** A start, stop or reset that runs now. With a big lock the VMM serves no request of the back-end meanwhile. */
  #section: Promise<void> = Promise.resolve();

  private constructor(fd: number, options: VmmOptions) {
    this.#options = options;
    this.transcript = typeof options.vmm === 'string' ? vmmTranscripts[options.vmm] : options.vmm;
    this.#ram = new MemfdRam(options.ram);
    this.heap = new Heap(this.#ram, options.ram);
    this.rings = Array.from({ length: QUEUES }, (_, i) => new RingLink(i, () => this.#driver?.poll()));
    this.control = new ControlChannel(fd, options.timeout, (reason) => this.#end(reason));
    this.conversation = new Conversation(this.control, this.transcript, {
      virtioFeatures: options.virtioFeatures ?? this.transcript.virtioFeatures,
      protocolFeatures: options.protocolFeatures ?? this.transcript.protocolFeatures,
      rings: this.rings,
      regions: () => this.#regions(),
      openChannel: () => this.#openChannel(),
      channelSent: closeSync,
      dropChannel: () => this.#channel?.close(),
    });
  }

  /**
   * Connects to a socket path, or takes ownership of a connected descriptor. Then it sends the requests that a VMM
   * sends before its guest runs. Throws a system error, ProtocolError or Disconnected.
   */
  static async connect(target: string | number, options: Partial<VmmOptions> = {}): Promise<Vmm> {
    const fd = typeof target === 'number' ? target : native.connect(target);
    const frontEnd = Vmm.#over(fd, { ...defaults, ...options });
    try {
      await frontEnd.#realize();
    } catch (error) {
      frontEnd.close();
      throw error;
    }
    return frontEnd;
  }

  /** Closes the descriptor if the constructor throws. */
  static #over(fd: number, options: VmmOptions): Vmm {
    try {
      return new Vmm(fd, options);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Whether the device is started. */
  get running(): boolean {
    return this.#running;
  }

  /** Why the connection has ended; undefined: it is still open. */
  get ended(): Error | undefined {
    return this.#closed;
  }

  /** Reads the whole configuration space. */
  async readConfig() {
    return configSpace.read(await this.conversation.getConfig(0, configSpace.size));
  }

  createQueue(index: number): DriverQueue {
    const ring = this.rings[index]!;
    const { features } = this.conversation;
    ring.driver = new DriverQueue(this.heap, {
      size: this.#options.queueSize,
      indirect: (features & Virtio.RING_INDIRECT_DESC) !== 0n,
      eventIdx: (features & Virtio.RING_EVENT_IDX) !== 0n,
      kick: () => ring.kick(),
    });
    return ring.driver;
  }

  attach(driver: InterruptHandler | undefined): void {
    this.#driver = driver;
  }

  ready(): Promise<void> {
    return this.start();
  }

  window(offset: number, length: number): Uint8Array {
    return this.sharedMemory.view(offset, length);
  }

  /** Starts the device: at DRIVER_OK, or after a pause. */
  start(): Promise<void> {
    return this.#exclusively(async () => {
      for (const step of this.transcript.start) await this.conversation.start[step]();
      this.#running = true;
    });
  }

  /** Pauses the VM. The driver and its rings stay; start() continues. */
  stop(): Promise<void> {
    return this.#exclusively(() => this.#stop(this.transcript.pause));
  }

  /**
   * The guest resets the device. Its rings are gone, so the caller removes the driver (GuestDriver.remove). The VMM
   * transcript decides whether mappings in SHM region 0 stay.
   */
  reset(): Promise<void> {
    return this.#exclusively(async () => {
      await this.#stop(this.transcript.stop);
      for (const ring of this.rings) {
        ring.base = 0;
        ring.driver = undefined;
      }
      if (!this.transcript.backendRequests.survivesReset) this.sharedMemory.clear();
    });
  }

  /** Closes the connection and releases everything. A second call is harmless. */
  close(): void {
    this.#end(new Error('the front-end was closed'));
  }

  async #realize(): Promise<void> {
    for (const step of this.transcript.realize) await this.conversation.realize[step]();
    const size = this.conversation.has(Protocol.SHMEM)
      ? (this.conversation.shmSize ?? this.#options.shmSize)
      : 0;
    this.sharedMemory = new SharedMemoryRegion(size, this.transcript.backendRequests.overlap);
  }

  async #stop(steps: readonly StopStep[]): Promise<void> {
    this.#running = false;
    for (const step of steps) await this.conversation.stop[step]();
  }

  #exclusively(section: () => Promise<void>): Promise<void> {
    const mine = this.#section.then(section);
    this.#section = mine.catch(() => undefined);
    return mine;
  }

  #regions(): AnnouncedRegion[] {
    return this.transcript.backendRequests.echo
      ? [...this.#ram.regions, ...this.sharedMemory.regions]
      : [...this.#ram.regions];
  }

  #openChannel(): number {
    this.#channel?.close();
    const [ours, theirs] = native.socketPair();
    const { acknowledges, bigLock } = this.transcript.backendRequests;
    const frontEnd = this;
    this.#channel = new BackendRequests(ours, {
      get window() {
        return frontEnd.sharedMemory;
      },
      acknowledges,
      objects: this.objects,
      judge: (request, map) => this.#judge(request, map),
      turn: () => (bigLock ? this.#turn() : Promise.resolve()),
      served: (request, refusal) => this.#served(request, refusal),
      ended: (reason) => this.warnings.push(`back-end channel: ${reason.message}`),
    });
    return theirs;
  }

  /** Waits for QEMU's big lock: it is locked during a start, stop or reset, and while an answer is outstanding. */
  async #turn(): Promise<void> {
    for (let section: Promise<void> | undefined; section !== this.#section; ) {
      section = this.#section;
      await section;
      await this.control.idle();
    }
  }

  #judge(request: number, map: MapRequest | undefined): Verdict | Promise<Verdict> {
    if (!this.#running && this.transcript.backendRequests.fatal === 'message while stopped') {
      this.#die(`request ${request} of the back-end came while the device was not started`);
      return 'refuse';
    }
    return this.#options.judge(request, map);
  }

  async #served(request: number, refusal: string | undefined): Promise<void> {
    if (refusal) {
      this.warnings.push(`request ${request} of the back-end: ${refusal}`);
      if (this.transcript.backendRequests.fatal === 'refused request') this.#die(refusal);
    } else if (request === BackendRequest.CONFIG_CHANGE) this.configChanges++;
    else if (this.transcript.backendRequests.echo && this.#running) await this.#echo();
  }

  /** QEMU announces every mapping to every vhost device of the VM, also to the device that asked for it. */
  async #echo(): Promise<void> {
    const slots = this.transcript.slotwise && this.conversation.has(Protocol.CONFIGURE_MEM_SLOTS);
    const count = this.#regions().length;
    try {
      if (slots || count <= MAX_TABLE_REGIONS) await this.conversation.announceMemory();
      else this.warnings.push(`vhost_set_mem_table failed: ${count} regions do not fit`);
    } catch (error) {
      this.warnings.push(`vhost_set_mem_table failed: ${(error as Error).message}`);
    }
  }

  #die(reason: string): void {
    this.crash ??= reason;
    this.#end(new Error(`the VMM would have died: ${reason}`));
  }

  #end(reason: Error): void {
    if (this.#closed) return;
    this.#closed = reason;
    this.#running = false;
    this.#driver?.fail(reason);
    this.#channel?.close();
    this.control.close(reason);
    for (const ring of this.rings) ring.close();
    this.sharedMemory.clear();
    this.#ram.close();
  }
}
