/** A media device with a fake node and a fake VMM. The rings and the guest memory are real. */
import assert from 'node:assert/strict';
import { MediaDevice, type MediaDeviceOptions } from '../../../src/media/device.js';
import type { GuestMemory } from '../../../src/virtio/guest-memory.js';
import type { Queue } from '../../../src/virtio/queue.js';
import { Bench as Ring } from '../virtio/bench.js';
import { WRITE } from '../virtio/driver.js';
import { FakeNode } from './fake-node.js';
import { FakeTransport } from './fake-transport.js';

export interface Reply {
  readonly length: number;
  readonly status: number;
  readonly payload: Buffer;
}

const LONG = 0x30_0000;
const description = {
  driver: 'fake',
  card: 'a fake card',
  busInfo: '',
  deviceCaps: 0x0520_0001,
  deviceType: 0,
};

export function u32(...values: number[]): Buffer {
  const raw = Buffer.alloc(4 * values.length);
  for (const [at, value] of values.entries()) raw.writeUInt32LE(value >>> 0, 4 * at);
  return raw;
}

/** struct v4l2_format (208 bytes) of type VIDEO_CAPTURE. */
export const format = u32(1, ...Array(51).fill(0));

/** struct v4l2_buffer (88 bytes) of type VIDEO_CAPTURE and memory type MMAP. */
export function buffer(index: number): Buffer {
  const raw = Buffer.alloc(88);
  raw.set(u32(index, 1));
  raw.writeUInt32LE(1, 60);
  return raw;
}

/** Waits `count` turns of the loop, in which promises and immediates run. */
export async function turns(count = 5): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise(setImmediate);
}

export class DeviceBench {
  readonly node = new FakeNode();
  readonly transport: FakeTransport;
  readonly commands = new Ring({ size: 256 });
  readonly events = new Ring({ size: 256 });
  readonly device: MediaDevice;
  commandq!: Queue;
  eventq!: Queue;
  #slot = 0;
  /** Used index of the commandq at the time when each head was last offered. */
  readonly #since = new Map<number, number>();
  #event = 0;
  #seen = 0;
  #connected = false;

  constructor(
    mmap: 'auto' | 'arena' | 'direct' = 'auto',
    transport = new FakeTransport(),
    more: Partial<MediaDeviceOptions> = {},
  ) {
    this.transport = transport;
    const options = { sharedMemorySize: transport.size, mmap, ...more };
    this.device = new MediaDevice(this.node.host, description, options);
  }

  get memory(): GuestMemory {
    return this.commands.memory;
  }

  /** Starts both rings. `events`: number of event buffers. */
  start(events = 16): void {
    this.#connected = true;
    this.device.connected(this.memory, this.transport);
    this.commandq = this.commands.queue();
    this.eventq = this.events.queue();
    this.postEvents(events);
    this.device.queueStarted(0, this.commandq);
    this.device.queueStarted(1, this.eventq);
  }

  postEvents(count: number): void {
    for (let n = 0; n < count; n++) {
      const slot = this.#event++ % 256;
      const address = this.events.put(1024 * slot, Buffer.alloc(1024));
      this.events.ring.describe(slot, { address, length: 608, flags: WRITE });
      this.events.ring.offer(slot);
    }
    if (this.#connected) this.device.queueKicked(1);
  }

  /** Events that have arrived, in order. If `repost` is set, their descriptors are made available again. */
  takeEvents(repost = true): Buffer[] {
    const taken: Buffer[] = [];
    for (; this.#seen !== this.events.ring.usedIndex; this.#seen++) {
      const { id, length } = this.events.ring.usedElement(this.#seen);
      taken.push(this.events.seen(1024 * id, length));
    }
    if (repost && taken.length > 0) this.postEvents(taken.length);
    return taken;
  }

  /** Offers a command. `room`: writable bytes. Returns the head, with which `answered` reads the reply. */
  offer(request: Uint8Array, room: number): number {
    const at = 8192 * (this.#slot % 128);
    const head = 2 * (this.#slot++ % 128);
    // A request that is too long for its slot gets another place.
    const place = request.length > 4096 ? LONG : at;
    const input = { address: this.commands.put(place, request), length: request.length };
    const output = { address: this.commands.put(at + 4096, Buffer.alloc(4096, 0xa5)), length: room };
    this.commands.ring.chain(head, [input], room > 0 ? [output] : []);
    this.#since.set(head, this.commands.ring.usedIndex);
    this.commands.ring.offer(head);
    this.device.queueKicked(0);
    return head;
  }

  /** The reply to a command; null: there is none yet. */
  answered(head: number): Reply | null {
    const { ring } = this.commands;
    for (let index = ring.usedIndex - 1; index >= (this.#since.get(head) ?? 0); index--) {
      const { id, length } = ring.usedElement(index);
      if (id !== head) continue;
      const bytes = this.commands.seen(4096 * head + 4096, 4096);
      assert.ok(
        bytes.subarray(length).every((byte) => byte === 0xa5),
        'bytes that were not reported',
      );
      return {
        length,
        status: length < 4 ? -1 : bytes.readUInt32LE(0),
        payload: Buffer.from(bytes.subarray(8, Math.max(8, length))),
      };
    }
    return null;
  }

  async command(request: Uint8Array, room: number): Promise<Reply> {
    const head = this.offer(request, room);
    for (let n = 0; n < 2000; n++) {
      const reply = this.answered(head);
      if (reply) return reply;
      await new Promise(setImmediate);
    }
    assert.fail('no answer');
  }

  async open(): Promise<number> {
    const { status, payload } = await this.command(u32(1, 0), 16);
    assert.equal(status, 0);
    return payload.readUInt32LE(0);
  }

  ioctl(session: number, nr: number, payload: Uint8Array): Promise<Reply> {
    return this.command(Buffer.concat([u32(3, 0, session, nr), payload]), 8 + payload.length);
  }

  tell(session: number, nr: number, payload: Uint8Array): Promise<Reply> {
    return this.command(Buffer.concat([u32(3, 0, session, nr), payload]), 8);
  }

  close(): void {
    if (this.#connected) {
      for (const index of [0, 1]) this.device.queueStopped(index);
      this.device.disconnected();
    }
    this.commands.close();
    this.events.close();
  }
}
