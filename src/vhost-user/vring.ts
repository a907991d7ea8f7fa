/** One ring, as the front-end configures it. It runs while size, addresses, base, kick and ENABLE are all set. */
import { log, warnLimited } from '../log.js';
import { native } from '../native.js';
import type { GuestMemory } from '../virtio/guest-memory.js';
import { Queue, RingError, type Rings } from '../virtio/queue.js';
import { isQueueSize, ringBytes } from '../virtio/ring-layout.js';
import { closeIfOpen, Kick, takeEventFd } from './kick.js';
import { type Features, Virtio } from './protocol.js';
import { Refusal } from './refusal.js';

/** Addresses of the three parts, in the front-end's address space. */
export interface VringAddress {
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

/** The back-end, as a ring sees it. */
export interface VringOwner {
  readonly memory: GuestMemory;
  /** The bits of SET_FEATURES. null: it has not come yet. */
  readonly features: Features | null;
  /** The ring runs now. `vring.remade` is still valid: it compares this start with the last stop. */
  started(vring: Vring, queue: Queue): void;
  kicked(vring: Vring): void;
  /** The ring is about to stop. Every popped chain must be pushed before this returns. Never throws. */
  stopping(vring: Vring): void;
  /** The ring is broken and has stopped. `stopping` follows when the front-end stops the ring. */
  broke(vring: Vring): void;
  /** A callback of the addon threw. */
  failed(error: unknown): void;
}

export class Vring {
  readonly #owner: VringOwner;
  #size = 0;
  #address: VringAddress | null = null;
  #base: number | null = null;
  #kick: Kick | null = null;
  #call = -1;
  #error = -1;
  #enabled = false;
  /** Set from start to stop, also while the ring is broken. */
  #queue: Queue | null = null;
  /** The available index at which the ring started. */
  #startedAt = 0;
  /** State at the last stop: next available index, number of abandoned chains, addresses. */
  #last: { readonly index: number; readonly lost: number; readonly address: VringAddress } | null = null;

  constructor(
    readonly index: number,
    owner: VringOwner,
  ) {
    this.#owner = owner;
  }

  get running(): boolean {
    return this.#queue !== null && !this.#queue.stopped;
  }

  /**
   * Whether the guest driver has made the ring anew since the last stop: its addresses differ, or it starts at
   * another index than the one at which it stopped. A VM that was paused goes on at the same index.
   */
  get remade(): boolean {
    if (!this.#last || !this.#address) return false;
    const { index, address } = this.#last;
    const { descriptors, available, used } = this.#address;
    if (address.descriptors !== descriptors || address.available !== available || address.used !== used)
      return true;
    return (this.#queue ? this.#startedAt : this.#base) !== index;
  }

  /** Forgets the last stop. */
  forget(): void {
    this.#last = null;
  }

  /** The device has failed. The ring stops and signals its error descriptor. The front-end must start it again. */
  fail(): void {
    if (!this.#queue) return;
    this.#enabled = false;
    this.#halt();
    this.#signal(this.#error);
  }

  setSize(size: number): void {
    this.#refuseWhileRunning('SET_VRING_NUM');
    if (!isQueueSize(size)) throw new Refusal(`ring ${this.index}: a size of ${size}`);
    this.#size = size;
    this.start();
  }

  setAddress(address: VringAddress): void {
    this.#refuseWhileRunning('SET_VRING_ADDR');
    this.#address = address;
    this.start();
  }

  setBase(base: number): void {
    this.#refuseWhileRunning('SET_VRING_BASE');
    if (base > 0xffff) throw new Refusal(`ring ${this.index}: base ${base}`);
    this.#base = base;
    this.start();
  }

  /** Removes the descriptor from the list if it is an eventfd. Throws Refusal for an empty list (polling). */
  setKick(descriptors: number[]): void {
    if (descriptors.length === 0) throw new Refusal(`ring ${this.index}: no kick descriptor`);
    const kick = new Kick(takeEventFd(descriptors), () => this.#kicked());
    this.#dropKick();
    this.#kick = kick;
    if (this.running) {
      this.#queue!.threads!.setKick(kick.fd);
      kick.watch(!this.#queue!.threads!.isLent);
      // A kick may be pending on the old descriptor. It must not be lost.
      this.#owner.kicked(this);
    } else this.start();
  }

  /** Empty list: no interrupts. */
  setCall(descriptors: number[]): void {
    const fd = descriptors.length > 0 ? takeEventFd(descriptors) : -1;
    closeIfOpen(this.#call);
    this.#call = fd;
    this.#queue?.setCall(fd);
    // A signal on the old descriptor may not have reached the guest. So the new one is signalled.
    if (this.running) this.#signal(fd);
  }

  setError(descriptors: number[]): void {
    const fd = descriptors.length > 0 ? takeEventFd(descriptors) : -1;
    closeIfOpen(this.#error);
    this.#error = fd;
  }

  /** SET_VRING_ENABLE. For a front-end without protocol features the back-end calls this. */
  enable(enabled: boolean): void {
    this.#enabled = enabled;
    if (!enabled) this.#halt();
    try {
      this.start();
    } catch (error) {
      this.#enabled = false;
      throw error;
    }
  }

  /** GET_VRING_BASE: stops the ring until a new kick descriptor comes. Returns the next available index. */
  stop(): number {
    this.#halt();
    this.#dropKick();
    return this.#base ?? 0;
  }

  /** The memory table has changed: the ring may be mapped elsewhere. If it is not mapped, it breaks. */
  memoryChanged(): void {
    if (!this.#queue || this.#queue.stopped) return;
    try {
      this.#queue.rebind(this.#resolve());
    } catch (error) {
      if (!(error instanceof RingError)) throw error;
      this.#queue.stop();
      this.#broken(error.message);
    }
  }

  /** Starts the ring if its configuration is complete. Throws Refusal if a complete ring cannot run. */
  start(): void {
    const { features, memory } = this.#owner;
    const complete = this.#size > 0 && this.#address && this.#base !== null && this.#kick && this.#enabled;
    if (this.#queue || !complete || features === null) return;
    try {
      this.#queue = new Queue({
        memory,
        size: this.#size,
        rings: this.#resolve(),
        base: this.#base!,
        lost: this.remade ? 0 : (this.#last?.lost ?? 0),
        eventIdx: (features & Virtio.RING_EVENT_IDX) !== 0n,
        indirect: (features & Virtio.RING_INDIRECT_DESC) !== 0n,
        notify: () => this.#signal(this.#call),
        onBroken: (why) => this.#broken(why),
        doorbells: {
          kick: this.#kick!.fd,
          call: this.#call,
          watch: (isWanted) => this.#kick?.watch(isWanted),
          kicked: () => this.running && this.#owner.kicked(this),
          guard: (run) => this.#guard(run),
        },
      });
    } catch (error) {
      throw error instanceof RingError ? new Refusal(`ring ${this.index}: ${error.message}`) : error;
    }
    this.#startedAt = this.#queue.nextAvailable;
    this.#kick!.watch(true);
    this.#owner.started(this, this.#queue);
  }

  /** May be called twice. */
  close(): void {
    try {
      this.#halt();
    } finally {
      this.#dropKick();
      closeIfOpen(this.#call);
      closeIfOpen(this.#error);
      this.#call = -1;
      this.#error = -1;
    }
  }

  #halt(): void {
    const queue = this.#queue;
    if (!queue) return;
    // Cleared first: if the device fails while it stops, it is not stopped again.
    this.#queue = null;
    queue.threads?.reclaim();
    this.#kick?.watch(false);
    try {
      this.#owner.stopping(this);
      if (queue.outstanding > 0) log.error('chains are left in a ring that stops', { ring: this.index });
      queue.notify();
    } finally {
      queue.stop();
      this.#base = queue.nextAvailable;
      this.#last = { index: queue.nextAvailable, lost: queue.lost, address: this.#address! };
    }
  }

  /** Views of the three parts as they are mapped now. Throws RingError. */
  #resolve(): Rings {
    const { memory, features } = this.#owner;
    const { descriptors, available, used } = this.#address!;
    const eventIdx = ((features ?? 0n) & Virtio.RING_EVENT_IDX) !== 0n;
    const part = (name: string, address: number, length: number) => {
      const view = memory.ring(address, length);
      if (!view) throw new RingError(`${name} at 0x${address.toString(16)} is not in one memory region`);
      return view;
    };
    return {
      descriptors: part('descriptor table', descriptors, ringBytes.descriptors(this.#size)),
      available: part('available ring', available, ringBytes.available(this.#size, eventIdx)),
      used: part('used ring', used, ringBytes.used(this.#size, eventIdx)),
    };
  }

  #kicked(): void {
    this.#guard(() => {
      // A poll that was under way may still report the kick when the loop no longer waits for it.
      if (!this.#kick || this.#queue?.threads?.isLent) return;
      this.#kick.drain();
      if (this.running) this.#owner.kicked(this);
    });
  }

  /** For what the addon calls: no exception may leave this function. */
  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#owner.failed(error);
    }
  }

  #broken(why: string): void {
    warnLimited(`vhost-user.ring${this.index}`, 'a ring is broken and has stopped', {
      ring: this.index,
      why,
    });
    this.#kick?.watch(false);
    this.#signal(this.#error);
    this.#owner.broke(this);
  }

  #signal(fd: number): void {
    const errno = fd < 0 ? 0 : native.signal(fd);
    if (errno)
      warnLimited('vhost-user.signal', 'an eventfd cannot be signalled', { ring: this.index, errno });
  }

  #dropKick(): void {
    this.#kick?.close();
    this.#kick = null;
  }

  #refuseWhileRunning(request: string): void {
    if (this.#queue) throw new Refusal(`${request} while ring ${this.index} runs`);
  }
}
