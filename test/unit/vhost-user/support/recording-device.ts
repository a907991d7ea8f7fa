/** A FAKE device. It records the calls of the back-end, and answers every command with `echo:` and the command. */
import type { Device, ObjectTransport, SharedMemoryTransport } from '../../../../src/vhost-user/device.js';
import type { Chain } from '../../../../src/virtio/chain.js';
import type { GuestMemory } from '../../../../src/virtio/guest-memory.js';
import type { Queue } from '../../../../src/virtio/queue.js';

export class RecordingDevice implements Device {
  readonly config = Uint8Array.from({ length: 40 }, (_, index) => index + 1);
  readonly calls: string[] = [];
  readonly queues: (Queue | null)[] = [null, null];
  memory: GuestMemory | null = null;
  transport: (SharedMemoryTransport & ObjectTransport) | null = null;
  /** UUID in hexadecimal -> descriptor. */
  readonly objects = new Map<string, number>();
  /** Whether commands are kept. They are answered when the queue stops. */
  parks = false;
  readonly parked: Chain[] = [];
  /** The next call whose record starts with this text throws. Empty: none. */
  fails = '';
  /** Called at each queueStarted. */
  onStarted: (index: number) => void = () => {};

  constructor(readonly sharedMemorySize = 0x1_0000_0000) {}

  connected(memory: GuestMemory, transport: SharedMemoryTransport & ObjectTransport): void {
    this.#record('connected');
    this.memory = memory;
    this.transport = transport;
  }

  queueStarted(index: number, queue: Queue): void {
    this.#record(`started ${index} at ${queue.nextAvailable}`);
    this.queues[index] = queue;
    this.onStarted(index);
    this.#scan(index);
  }

  queueKicked(index: number): void {
    this.#record(`kicked ${index}`);
    this.#scan(index);
  }

  queueStopped(index: number): void {
    this.#record(`stopped ${index}`);
    const queue = this.queues[index];
    for (const chain of index === 0 ? this.parked.splice(0) : [])
      queue?.push(chain, chain.reply([Buffer.from('stopped')]));
    this.queues[index] = null;
  }

  reset(): void {
    this.#record('reset');
  }

  object(uuid: Uint8Array): number | null {
    this.#record(`asked for ${Buffer.from(uuid).toString('hex')}`);
    return this.objects.get(Buffer.from(uuid).toString('hex')) ?? null;
  }

  disconnected(): void {
    this.#record('disconnected');
  }

  /** Sends one event. Returns false if no descriptor is available. */
  event(text: string): boolean {
    const queue = this.queues[1];
    const chain = queue?.pop();
    if (!queue || !chain) return false;
    queue.push(chain, chain.reply([Buffer.from(text)]));
    queue.notify();
    return true;
  }

  /** The calls so far, without kicks, because kicks may be spurious. */
  get history(): string[] {
    return this.calls.filter((call) => !call.startsWith('kicked'));
  }

  forget(): void {
    this.calls.length = 0;
  }

  #record(call: string): void {
    this.calls.push(call);
    if (this.fails !== '' && call.startsWith(this.fails)) {
      this.fails = '';
      throw new Error(`the device failed in ${call}`);
    }
  }

  #scan(index: number): void {
    const queue = this.queues[index];
    if (!queue) return;
    do {
      for (let chain = index === 0 ? queue.pop() : null; chain; chain = queue.pop()) {
        if (this.parks) this.parked.push(chain);
        else queue.push(chain, chain.reply([Buffer.from('echo:'), chain.readable]));
      }
    } while (queue.enableKicks());
    queue.notify();
  }
}
