/**
 * A VMM that may do anything: a control socket, a back-end channel, rings in memory, and the messages that start the
 * device.
 */
import { closeSync } from 'node:fs';
import { native } from '../../src/native.js';
import { join, u32, u64, zeros } from '../device/support/bytes.js';
import { type MemoryRegion, type Ram, regionBytes } from '../device/support/ram.js';
import { descriptor, NEXT, WRITE } from '../device/support/ring.js';
import { CROSVM, FEATURES, QEMU } from '../device/support/vmm.js';
import { Ask } from '../support/front-end-messages.js';
import { Wire } from '../unit/vhost-user/support/vmm.js';
import type { Random } from './random.js';

const QUEUE_SIZE = 64;
const PLACES = [0x4000_0000, 0x4000_8000] as const;
const COMMAND_AT = 0x4002_0000;
const EVENTS_AT = 0x4001_0000;
/** Random protocol features of MQ, REPLY_ACK, BACKEND_REQ, CONFIG, MEM_SLOTS, SHARED_OBJECT, SHMEM. */
const protocols = [QEMU, CROSVM, 0x40_0221n, 0x8229n, 0x40_8629n | (1n << 18n), 0n];
const { GET_SHARED_OBJECT, ...others } = Ask;

/** A message: request number, body, and descriptors that stay the caller's. */
export interface Said {
  readonly request: number;
  readonly body: Buffer;
  readonly descriptors: readonly number[];
}

export class FrontEnd {
  readonly wire: Wire;
  channel: Wire | null = null;
  readonly protocol: bigint;
  #available = [0, 0];
  #theirs = -1;

  /** `fds`: eventfds; a kick, a call and an error descriptor for each ring. */
  constructor(
    readonly random: Random,
    fd: number,
    readonly ram: Ram,
    readonly fds: readonly number[],
  ) {
    this.wire = new Wire(fd);
    this.protocol = random.pick(protocols);
    ram.bytes.fill(0);
    this.#postEvents();
  }

  /** The messages with which a VMM starts the device, in order. */
  get overture(): (() => Said)[] {
    const before = [Ask.GET_FEATURES, Ask.GET_PROTOCOL_FEATURES, Ask.SET_PROTOCOL_FEATURES, Ask.SET_OWNER];
    const setUp = [Ask.SET_BACKEND_REQ_FD, Ask.GET_CONFIG, Ask.SET_FEATURES, Ask.SET_MEM_TABLE];
    return [...[...before, ...setUp].map((request) => () => this.proper(request)), ...this.#start];
  }

  /** The messages when the guest's driver starts again, with empty rings. */
  get revival(): (() => Said)[] {
    const stop = [0, 1].map((ring) => () => this.proper(Ask.GET_VRING_BASE, ring));
    const empty = (): Said => {
      this.ram.bytes.fill(0);
      this.#available = [0, 0];
      this.#postEvents();
      return this.proper(this.random.pick([Ask.SET_MEM_TABLE, Ask.GET_FEATURES]));
    };
    return [...stop, empty, ...this.#start];
  }

  /** Messages for both rings. */
  get #start(): (() => Said)[] {
    const settings = [Ask.SET_VRING_NUM, Ask.SET_VRING_BASE, Ask.SET_VRING_ADDR, Ask.SET_VRING_ERR];
    const ringOrder = [...settings, Ask.SET_VRING_CALL, Ask.SET_VRING_KICK, Ask.SET_VRING_ENABLE];
    return [0, 1].flatMap((ring) => ringOrder.map((request) => () => this.proper(request, ring)));
  }

  /** A well-formed message of this request. */
  proper(request: number, ring: number = this.random.below(2)): Said {
    const [body, descriptors = []] = this.#makers[request]?.(ring) ?? [zeros(0)];
    return { request, body, descriptors };
  }

  /** Every request number that is known. The seeds of the corpus need this order, and RESET_OWNER twice. */
  readonly requests = [...Object.values(others), Ask.RESET_OWNER, GET_SHARED_OBJECT];

  readonly #makers: Readonly<Record<number, (ring: number) => [Buffer, (readonly number[])?]>> = {
    [Ask.SET_FEATURES]: () => [u64(FEATURES)],
    [Ask.SET_PROTOCOL_FEATURES]: () => [u64(this.protocol)],
    [Ask.SET_MEM_TABLE]: () => this.#table(),
    [Ask.SET_VRING_NUM]: (ring) => [u32(ring, QUEUE_SIZE)],
    [Ask.SET_VRING_ADDR]: (ring) => [this.#address(ring)],
    [Ask.SET_VRING_BASE]: (ring) => [u32(ring, 0)],
    [Ask.GET_VRING_BASE]: (ring) => [u32(ring, 0)],
    [Ask.SET_VRING_KICK]: (ring) => [u64(ring), [this.fds[3 * ring]!]],
    [Ask.SET_VRING_CALL]: (ring) => [u64(ring), [this.fds[3 * ring + 1]!]],
    [Ask.SET_VRING_ERR]: (ring) => [u64(ring), [this.fds[3 * ring + 2]!]],
    [Ask.SET_VRING_ENABLE]: (ring) => [u32(ring, this.random.chance(0.95) ? 1 : 0)],
    [Ask.SET_BACKEND_REQ_FD]: () => [zeros(0), [this.#newChannel()]],
    [Ask.GET_CONFIG]: () => [join(u32(this.random.pick([0, 0, 8, 300]), 40, 0), zeros(40))],
    [Ask.SET_CONFIG]: () => [join(u32(0, 8, 0), zeros(8))],
    [Ask.ADD_MEM_REG]: () => [join(u64(0), regionBytes(this.#moreMemory())), [this.ram.fd]],
    [Ask.REM_MEM_REG]: () => [
      join(u64(0), regionBytes(this.random.pick([...this.ram.regions, this.#moreMemory()]))),
    ],
    [Ask.SET_STATUS]: () => [u64(this.random.pick([0, 1, 3, 11, 15]))],
    [GET_SHARED_OBJECT]: () => [this.random.bytes(16)],
  };

  /** Makes a command of the guest available, as a driver would, and kicks. */
  command(): void {
    const { random, ram } = this;
    const head = 2 * random.below(QUEUE_SIZE / 2);
    const at = COMMAND_AT + 1024 * head;
    const request = join(
      u32(random.between(1, 5), 0, random.between(1, 3), random.pick([4, 8, 15, 18])),
      u32(1, 1, 1),
    );
    ram.write(at, request);
    const pieces = [
      descriptor({ address: at, length: request.length, flags: NEXT }, head + 1),
      descriptor({ address: at + 512, length: 300, flags: WRITE }, 0),
    ];
    ram.write(PLACES[0] + 16 * head, join(...pieces));
    this.#offer(0, head);
    native.signal(this.fds[0]!);
  }

  kick(): void {
    for (const ring of [0, 1]) native.signal(this.fds[3 * ring]!);
  }

  /** Writes a random word at a random place of a ring. */
  corrupt(): void {
    const { random, ram } = this;
    const ring = random.below(2);
    const place = PLACES[ring]! + random.pick([0x4000, 0x4002, 0x5000, 0x5002, 2 * random.below(0x3000)]);
    ram.bytes.writeUInt16LE(random.edge() & 0xffff, ram.at(place));
    native.signal(this.fds[3 * ring]!);
  }

  /** Reads the requests of the device on the back-end channel and answers them, rightly or wrongly. */
  answerChannel(): void {
    const { channel, random } = this;
    for (let asked = channel?.poll(); channel && asked; asked = channel.poll()) {
      for (const fd of asked.descriptors) closeSync(fd);
      const answer = join(
        u32(asked.request, 5, 8),
        u64(
          random.weighted([
            [9, 0],
            [1, 1],
          ]),
        ),
      );
      if (random.chance(0.02)) random.bend(answer, 1);
      if (asked.flags & 8 || random.chance(0.02))
        native.send(channel.fd, answer, random.chance(0.01) ? [this.fds[0]!] : []);
    }
  }

  /** Closes our copy of the channel descriptor that was sent; the device has its own by now. */
  settle(): void {
    if (this.#theirs >= 0) closeSync(this.#theirs);
    this.#theirs = -1;
  }

  close(): void {
    this.settle();
    this.wire.close();
    this.channel?.close();
  }

  #newChannel(): number {
    this.settle();
    this.channel?.close();
    const [ours, theirs] = native.socketPair();
    this.channel = new Wire(ours);
    this.#theirs = theirs;
    return theirs;
  }

  #table(): [Buffer, readonly number[]] {
    const { ram, random } = this;
    const regions: MemoryRegion[] = [...ram.regions];
    if (random.chance(0.03)) regions.splice(random.below(regions.length), 1);
    if (random.chance(0.02)) regions.push(random.pick(regions));
    return [join(u32(regions.length, 0), ...regions.map(regionBytes)), regions.map(() => ram.fd)];
  }

  /** A region for ADD_MEM_REG. It may overlap an earlier one, and its file offset may be wrong. */
  #moreMemory(): MemoryRegion {
    const { random } = this;
    const place = { guest: 0x2_0000_0000 + 0x10_0000 * random.below(8), user: 0x7d00_0000_0000 };
    return { ...place, length: 0x10_0000, file: random.pick([0, 0x1000, 0x40_0000, 0x50_0000, 0x1234]) };
  }

  #address(ring: number): Buffer {
    const user = (offset: number) => this.ram.user(PLACES[ring]! + offset);
    return join(u32(ring, 0), u64(user(0), user(0x5000), user(0x4000), 0));
  }

  #postEvents(): void {
    for (let event = 0; event < 16; event++) {
      const piece = { address: EVENTS_AT + 1024 * event, length: 608, flags: WRITE };
      this.ram.write(PLACES[1] + 16 * event, descriptor(piece, 0));
      this.#offer(1, event);
    }
  }

  #offer(ring: 0 | 1, head: number): void {
    const base = this.ram.at(PLACES[ring] + 0x4000);
    this.ram.bytes.writeUInt16LE(head, base + 4 + 2 * (this.#available[ring]! % QUEUE_SIZE));
    this.#available[ring] = (this.#available[ring]! + 1) & 0xffff;
    this.ram.bytes.writeUInt16LE(this.#available[ring]!, base + 2);
  }
}
