/** A hostile VMM: it sends the messages that it is told to, in any order. Its rings are raw rings. */
import { closeSync } from 'node:fs';
import { native } from '../../../src/native.js';
import { Ask } from '../../support/front-end-messages.js';
import { join, u32, u64 } from './bytes.js';
import { Ram } from './ram.js';
import { Ring } from './ring.js';
import { Window } from './window.js';
import { type Message, message, NEED_REPLY, REPLY, Wire } from './wire.js';

/** VERSION_1, INDIRECT_DESC, PROTOCOL_FEATURES. EVENT_IDX is left out, so that every chain is kicked and called. */
export const FEATURES = (1n << 32n) | (1n << 28n) | (1n << 30n);
const INDIRECT_DESC = 1n << 28n;
/** MQ, REPLY_ACK, BACKEND_REQ, CONFIG, BACKEND_SEND_FD, MEM_SLOTS, SHMEM: QEMU's features, which select arena mode. */
export const QEMU = 0x408629n;
/** crosvm's features: the same without BACKEND_SEND_FD. Buffers are mapped one by one. */
export const CROSVM = 0x408229n;

export interface VmmOptions {
  readonly protocol: bigint;
  readonly features: bigint;
  readonly queueSize: number;
  /** Send every message byte by byte. */
  readonly dribble: boolean;
}

const defaults: VmmOptions = { protocol: QEMU, features: FEATURES, queueSize: 256, dribble: false };

export class Vmm {
  readonly wire: Wire;
  readonly ram = new Ram();
  readonly options: VmmOptions;
  readonly rings: readonly Ring[];
  /** The back-end channel. null until SET_BACKEND_REQ_FD. */
  window: Window | null = null;
  #closed = false;

  constructor(socket: string, options: Partial<VmmOptions> = {}) {
    this.options = { ...defaults, ...options };
    const { queueSize, dribble } = this.options;
    this.wire = new Wire(native.connect(socket), dribble);
    this.rings = [0x4000_0000, 0x4000_8000].map((base) => new Ring(this.ram, queueSize, base));
  }

  get indirect(): boolean {
    return (this.options.features & INDIRECT_DESC) !== 0n;
  }

  tell(request: number, body: Uint8Array = Buffer.alloc(0), descriptors: readonly number[] = []): void {
    const bytes = message(request, body);
    const sent = this.wire.send(bytes, descriptors);
    if (sent !== bytes.length) throw new Error(`request ${request} was not sent: ${sent}`);
  }

  /** Sends a request that has a reply of its own, and returns the reply's body. */
  async ask(request: number, body: Uint8Array = Buffer.alloc(0)): Promise<Buffer> {
    this.tell(request, body);
    return (await this.#reply(request)).body;
  }

  /** Sends a request without a reply of its own and asks for an acknowledgement: 0 if the back-end carried it out. */
  async acknowledged(
    request: number,
    body: Uint8Array = Buffer.alloc(0),
    descriptors: readonly number[] = [],
  ): Promise<bigint> {
    this.wire.send(message(request, body, NEED_REPLY), descriptors);
    const { body: answer } = await this.#reply(request);
    if (answer.length !== 8) throw new Error(`an acknowledgement of ${answer.length} bytes`);
    return answer.readBigUInt64LE(0);
  }

  /** Sends the messages up to the point from which acknowledgements work. */
  async negotiate(): Promise<void> {
    await this.ask(Ask.GET_FEATURES);
    await this.ask(Ask.GET_PROTOCOL_FEATURES);
    this.tell(Ask.SET_PROTOCOL_FEATURES, u64(this.options.protocol));
    this.tell(Ask.SET_OWNER);
  }

  async openChannel(): Promise<bigint> {
    const [ours, theirs] = native.socketPair();
    this.window?.close();
    this.window = new Window(ours);
    try {
      return await this.acknowledged(Ask.SET_BACKEND_REQ_FD, Buffer.alloc(0), [theirs]);
    } finally {
      closeSync(theirs);
    }
  }

  setMemory(ram: Ram = this.ram): Promise<bigint> {
    return this.acknowledged(
      Ask.SET_MEM_TABLE,
      ram.table,
      ram.regions.map(() => ram.fd),
    );
  }

  /** Body of SET_VRING_ADDR of one ring; `bent` replaces addresses. */
  addressBody(index: number, bent: Partial<Ring['places']> = {}): Buffer {
    const { descriptors, used, available } = { ...this.rings[index]!.places, ...bent };
    const user = (guest: number) => this.ram.user(guest);
    return join(u32(index, 0), u64(user(descriptors), user(used), user(available), 0));
  }

  /** Sets up everything of one ring except ENABLE. */
  async prepare(index: number, base = 0): Promise<void> {
    const { size, kickFd, callFd, errorFd } = this.rings[index]!;
    this.tell(Ask.SET_VRING_NUM, u32(index, size));
    this.tell(Ask.SET_VRING_BASE, u32(index, base));
    this.tell(Ask.SET_VRING_ADDR, this.addressBody(index));
    this.tell(Ask.SET_VRING_ERR, u64(index), [errorFd]);
    this.tell(Ask.SET_VRING_CALL, u64(index), [callFd]);
    await this.acknowledged(Ask.SET_VRING_KICK, u64(index), [kickFd]);
  }

  enable(index: number, on = true): Promise<bigint> {
    return this.acknowledged(Ask.SET_VRING_ENABLE, u32(index, on ? 1 : 0));
  }

  /** Stops a ring. Returns the index at which it can go on. */
  async base(index: number): Promise<number> {
    return (await this.ask(Ask.GET_VRING_BASE, u32(index, 0))).readUInt32LE(4);
  }

  /** Negotiates, and starts both rings with their present content. */
  async start(): Promise<void> {
    await this.negotiate();
    await this.openChannel();
    this.tell(Ask.SET_FEATURES, u64(this.options.features));
    await this.setMemory();
    for (const index of this.rings.keys()) await this.prepare(index);
    for (const index of this.rings.keys()) await this.enable(index);
  }

  /** Reads the whole configuration space within `ms`. */
  async config(ms = 6000): Promise<Buffer> {
    this.tell(Ask.GET_CONFIG, join(u32(0, 40, 0), Buffer.alloc(40)));
    return (await this.#reply(Ask.GET_CONFIG, ms)).body.subarray(12);
  }

  /** May be called twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.wire.close();
    this.window?.close();
    for (const ring of this.rings) ring.close();
    this.ram.close();
  }

  async #reply(request: number, ms?: number): Promise<Message> {
    const answer = await this.wire.next(ms);
    if (answer.request !== request || answer.flags !== REPLY || answer.descriptors.length > 0)
      throw new Error(`request ${request} was answered ${answer.request} with flags ${answer.flags}`);
    return answer;
  }
}
