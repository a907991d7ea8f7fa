/** A scripted VM: guest RAM, two rings, event descriptors, and the control socket of its VMM. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { native } from '../../../../src/native.js';
import { Backend } from '../../../../src/vhost-user/backend.js';
import type { BackendOptions } from '../../../../src/vhost-user/features.js';
import { Ask } from '../../../support/front-end-messages.js';
import { until } from '../../../support/until.js';
import { DriverRing, GuestRam, WRITE } from '../../virtio/driver.js';
import { RecordingDevice } from './recording-device.js';
import { ControlWire, memoryTable, region, state, u64, vringAddress, Wire } from './vmm.js';

export const RAM = 4 * 1024 * 1024;
export const GUEST = 0x1_0000_0000;
export const USER = 0x7f00_0000_0000;
/** Guest address of SHM region 0, as QEMU places its BAR 4. */
export const WINDOW = 0x8_1000_0000;

const rings = [
  { descriptors: 0x00_0000, available: 0x08_0000, used: 0x0a_0000 },
  { descriptors: 0x10_0000, available: 0x18_0000, used: 0x1a_0000 },
];
const BUFFERS = 0x20_0000;

export class Vm {
  readonly ram = new GuestRam(RAM);
  readonly device: RecordingDevice;
  readonly backend: Backend;
  readonly control: ControlWire;
  /** The test's end of the back-end channel. null: there is none. */
  channel: Wire | null = null;
  /** Arguments of onEnd. */
  readonly ends: (Error | null)[] = [];
  readonly call = [native.eventFd(), native.eventFd()];
  readonly kick = [native.eventFd(), native.eventFd()];
  readonly error = [native.eventFd(), native.eventFd()];
  commandq!: DriverRing;
  eventq!: DriverRing;
  readonly #extra: number[] = [];

  constructor(options: BackendOptions = {}, device = new RecordingDevice()) {
    this.device = device;
    const [ours, theirs] = native.socketPair();
    this.control = new ControlWire(ours);
    this.backend = new Backend({ fd: theirs, device, options, onEnd: (error) => this.ends.push(error) });
    this.newDriver(8);
  }

  /** A new guest driver with empty rings of `size`. */
  newDriver(size: number): void {
    this.ram.bytes.fill(0, 0, BUFFERS);
    this.commandq = new DriverRing(this.ram.bytes, size, rings[0]!);
    this.eventq = new DriverRing(this.ram.bytes, size, rings[1]!);
  }

  /** Makes 16 event buffers available, or as many as the ring has descriptors. */
  postEvents(count = Math.min(16, this.eventq.size)): void {
    for (let index = 0; index < count; index++) {
      const address = GUEST + BUFFERS + 0x1_0000 + 1024 * index;
      this.eventq.describe(index, { address, length: 608, flags: WRITE });
      this.eventq.offer(index);
    }
    this.eventq.awaitUsed();
  }

  /** Makes a command available: 4 readable bytes and 16 writable ones. Does not kick. */
  offer(text: string): void {
    const at = BUFFERS + 64 * (this.commandq.availableIndex % 16);
    this.ram.bytes.write(text.padEnd(4), at, 'latin1');
    const head = (2 * this.commandq.availableIndex) % this.commandq.size;
    this.commandq.chain(
      head,
      [{ address: GUEST + at, length: 4 }],
      [{ address: GUEST + at + 16, length: 16 }],
    );
    this.commandq.awaitUsed();
    this.commandq.offer(head);
  }

  kickCommands(): void {
    native.signal(this.kick[0]!);
  }

  /** Makes a command available, kicks, and resolves to the answer. */
  async command(text: string): Promise<string> {
    const index = this.commandq.availableIndex;
    const at = BUFFERS + 64 * (index % 16) + 16;
    this.offer(text);
    this.kickCommands();
    await until(() => this.commandq.usedIndex === (index + 1) % 65536, `an answer to ${text}`);
    const { length } = this.commandq.usedElement(index);
    return this.ram.bytes.toString('latin1', at, at + length);
  }

  /** Records a descriptor that is sent to the back-end (SCM_RIGHTS); closeLent() closes it here. */
  lend(fd: number): number {
    this.#extra.push(fd);
    return fd;
  }

  regionBody(): Buffer {
    return region(GUEST, RAM, USER, 0);
  }

  memoryTable(): [Buffer, number[]] {
    return [memoryTable(this.regionBody()), [this.ram.fd]];
  }

  /** `parts`: which of descriptors, used and available are shifted. */
  addressOf(index: number, shift = 0, parts = [true, true, true]): Buffer {
    const { descriptors, used, available } = rings[index]!;
    const [first, second, third] = [descriptors, used, available].map(
      (offset, part) => USER + offset + (parts[part] ? shift : 0),
    ) as [number, number, number];
    return vringAddress(index, first, second, third);
  }

  ringSize(index: number): Buffer {
    return state(index, (index === 0 ? this.commandq : this.eventq).size);
  }

  kickOf(index: number): [Buffer, number[]] {
    return [u64(index), [this.kick[index]!]];
  }

  callOf(index: number): [Buffer, number[]] {
    return [u64(index), [this.call[index]!]];
  }

  errorOf(index: number): [Buffer, number[]] {
    return [u64(index), [this.error[index]!]];
  }

  /** Makes a new back-end channel. Returns the descriptor to send. */
  newChannel(): number {
    this.channel?.close();
    const [ours, theirs] = native.socketPair();
    this.channel = new Wire(ours);
    return this.lend(theirs);
  }

  /** Closes this process's copies of sent descriptors. The back-end has its own. */
  closeLent(): void {
    for (const fd of this.#extra.splice(0)) closeSync(fd);
  }

  async vringBase(index: number): Promise<number> {
    const reply = await this.control.ask(Ask.GET_VRING_BASE, state(index, 0));
    assert.equal(reply.readUInt32LE(0), index);
    return reply.readUInt32LE(4);
  }

  /** Number of call signals since the last look. */
  interrupts(index: number): number {
    return Math.max(native.drain(this.call[index]!), 0);
  }

  close(): void {
    this.backend.close();
    this.closeLent();
    this.channel?.close();
    this.control.close();
    for (const fd of [...this.call, ...this.kick, ...this.error]) closeSync(fd);
    this.ram.close();
  }
}
