/**
 * vhost-user: whole conversations in which messages are changed, reordered, cut, or come with the wrong descriptors.
 */
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../src/native.js';
import { Backend } from '../../src/vhost-user/backend.js';
import { join as bytesOf, u32 } from '../device/support/bytes.js';
import { Ram } from '../device/support/ram.js';
import { Ask } from '../support/front-end-messages.js';
import { FrontEnd, type Said } from './front-end.js';
import type { Fuzzer, Run, Target } from './fuzzer.js';
import type { Random } from './random.js';
import { makeSubject, type Subject } from './subject.js';

const NEED_REPLY = 0x9;
const PLAIN = 0x1;
const REPLY = 0x5;
const END_MS = 8000;
const SHM_SIZE = 16 << 20;
/** VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS, _SHARED_OBJECT. */
const MEM_SLOTS = 1n << 15n;
const SHARED_OBJECT = 1n << 18n;
/** Descriptors that one sendmsg takes here, and more descriptors than one message may have. */
const MOST = 32;
const TOO_MANY = 40;

export const messages: Fuzzer = {
  name: 'messages',
  share: 20,
  begin: async (random, target) => new MessageRun(random, target),
};

type Operation = (run: MessageRun) => void | Promise<void>;

const operations: readonly (readonly [weight: number, operation: Operation])[] = [
  [400, (run) => run.next()],
  [100, (run) => run.any()],
  [300, (run) => run.guest()],
  [40, (run) => run.restart()],
  [30, (run) => run.bent()],
  [10, (run) => run.corrupt()],
  [4, (run) => run.wrongDescriptors()],
  [2, (run) => run.wrongHeader()],
  [2, (run) => run.cut()],
  [1, (run) => run.leave()],
  [1, (run) => run.cutMemory()],
];

class MessageRun implements Run {
  readonly #ram = new Ram();
  readonly #fds = Array.from({ length: 6 }, () => native.eventFd());
  /** One descriptor of each kind that no VMM would send. */
  readonly #strange = [
    native.memoryFile('strange', 4096),
    openSync('/dev/zero', 'r+'),
    ...native.socketPair(),
  ];
  #subject!: Subject;
  #backend: Backend | null = null;
  #front: FrontEnd | null = null;
  #overture: (() => Said)[] = [];
  /** Requests whose reply may still come, in order. */
  #asked: number[] = [];
  #ends = 0;

  constructor(
    private readonly random: Random,
    private readonly target: Target,
  ) {}

  async step(): Promise<void> {
    if (!this.#front) await this.#connect();
    await this.random.weighted(operations)(this);
    // Several messages may arrive together.
    if (this.random.chance(0.7)) await this.#turns(this.random.between(1, 3));
    this.#subject.live();
    this.#listen();
    if (this.#ends > 0 || !this.#front) await this.#disconnect();
  }

  async end(): Promise<void> {
    if (this.#backend) await this.#disconnect();
    for (const fd of [...this.#fds, ...this.#strange]) closeSync(fd);
    this.#ram.close();
  }

  /** Sends the next message of the start of the device. After the start: any well-formed message. */
  next(): void {
    const front = this.#front!;
    const following = this.#overture.shift();
    this.#say(following ? following() : front.proper(this.random.pick(front.requests)));
  }

  any(): void {
    const front = this.#front!;
    this.#say(front.proper(this.random.pick(front.requests)));
  }

  /** The guest's driver starts again: the messages that the VMM sends then. */
  restart(): void {
    this.#overture = this.#front!.revival;
    while (this.#overture.length > 0) this.next();
  }

  guest(): void {
    this.#front!.command();
    this.#front!.answerChannel();
  }

  corrupt(): void {
    this.#front!.corrupt();
  }

  /** A message of the right size with wrong content. */
  bent(): void {
    const front = this.#front!;
    const said = front.proper(this.random.pick(front.requests));
    this.#say({ ...said, body: this.random.bend(Buffer.from(said.body), 2) });
  }

  /** Too many descriptors, too few, or descriptors of another kind. */
  wrongDescriptors(): void {
    const front = this.#front!;
    const said = front.proper(this.random.pick(front.requests));
    const kinds = [...this.#strange, ...this.#fds, this.#ram.fd];
    const count = this.random.pick([0, said.descriptors.length, said.descriptors.length, 1, 2, 33, TOO_MANY]);
    this.#say({ ...said, descriptors: Array.from({ length: count }, () => this.random.pick(kinds)) });
  }

  wrongHeader(): void {
    const front = this.#front!;
    const { request, body, descriptors } = front.proper(
      this.random.pick([...front.requests, this.random.edge()]),
    );
    const size =
      this.random.pick([body.length, body.length + 1, body.length - 1, 4096, 4097, 0xffff_ffff]) >>> 0;
    const flags = this.random.pick([1, 1, 9, 0, 2, 3, 5, 0x11, 0x8000_0001]);
    this.#asked.push(request);
    this.#send(bytesOf(u32(request, flags, size), body), descriptors);
  }

  /** A message in two pieces, or only the first piece. */
  cut(): void {
    const { request, body, descriptors } = this.#front!.proper(this.random.pick(this.#front!.requests));
    const whole = bytesOf(u32(request, PLAIN, body.length), body);
    const at = this.random.between(1, whole.length - 1);
    this.#send(whole.subarray(0, at), descriptors);
    if (this.random.chance(0.3)) return this.leave();
    this.#asked.push(request);
    this.#send(whole.subarray(at), this.random.chance(0.1) ? descriptors : []);
  }

  /** Memory whose file is truncated while rings are in it. */
  async cutMemory(): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'vmb-fuzz-'));
    const fd = openSync(join(folder, 'memory'), 'w+');
    rmSync(folder, { recursive: true });
    ftruncateSync(fd, this.#ram.bytes.length);
    const said = this.#front!.proper(Ask.SET_MEM_TABLE);
    this.#say({ ...said, descriptors: said.descriptors.map(() => fd) });
    await this.#turns(2);
    ftruncateSync(fd, this.random.pick([0, 4096, 0x20_0000]));
    closeSync(fd);
    this.#front?.kick();
  }

  /** The VMM disconnects; this may happen at any moment. */
  leave(): void {
    this.#front!.close();
    this.#front = null;
  }

  async #connect(): Promise<void> {
    const [ours, theirs] = native.socketPair();
    this.#subject = await makeSubject(this.random, { foreign: this.target.foreign }, SHM_SIZE);
    this.#ends = 0;
    this.#asked = [];
    const front = new FrontEnd(this.random, ours, this.#ram, this.#fds);
    // Mostly the back-end offers what this VMM accepts.
    const offers = (bit: bigint) => this.random.chance(0.95) && (front.protocol & bit) !== 0n;
    const options = { memSlots: offers(MEM_SLOTS), objects: offers(SHARED_OBJECT) };
    const onEnd = () => {
      this.#ends++;
    };
    this.#backend = new Backend({ fd: theirs, device: this.#subject.device, options, onEnd });
    this.#front = front;
    this.#overture = front.overture;
    // Most conversations get past the start of the device.
    while (this.#overture.length > 0 && this.random.chance(0.95)) {
      this.next();
      await this.#turns(1);
    }
  }

  /** Either side has ended the connection. The back-end reports this exactly once and releases everything. */
  async #disconnect(): Promise<void> {
    this.#front?.close();
    this.#front = null;
    this.#subject.relax();
    const limit = performance.now() + END_MS;
    while (this.#ends === 0 && performance.now() < limit) await this.#turns(1);
    if (this.#ends !== 1) throw new Error(`the end was told ${this.#ends} times`);
    this.#backend?.close();
    this.#backend = null;
    await this.#subject.device.closed();
    if (this.#subject.device.sessions > 0) throw new Error('sessions are left');
    this.#subject.close();
  }

  /** Replies come in the order of the requests, and only to requests that were sent. */
  #listen(): void {
    const wire = this.#front?.wire;
    for (let reply = wire?.poll(); reply; reply = wire?.poll()) {
      for (const fd of reply.descriptors) closeSync(fd);
      const at = this.#asked.indexOf(reply.request);
      if (at < 0 || reply.flags !== REPLY)
        throw new Error(
          `a reply to request ${reply.request}, flags ${reply.flags}, asked ${this.#asked.slice(0, 5)}`,
        );
      this.#asked.splice(0, at + 1);
    }
  }

  #say({ request, body, descriptors }: Said): void {
    this.#asked.push(request);
    const flags = this.random.chance(0.5) ? NEED_REPLY : PLAIN;
    this.#send(bytesOf(u32(request, flags, body.length), body), descriptors);
  }

  #send(bytes: Buffer, descriptors: readonly number[]): void {
    // A back-end that has hung up or is busy takes nothing.
    const { fd } = this.#front!.wire;
    // If there are more descriptors than one call takes, they are sent with two pieces of the header.
    const ahead = descriptors.length > MOST ? bytes.subarray(0, 4) : bytes;
    native.send(fd, ahead, descriptors.slice(0, MOST));
    if (ahead !== bytes) native.send(fd, bytes.subarray(4), descriptors.slice(MOST));
    this.#front!.settle();
  }

  async #turns(count: number): Promise<void> {
    for (let left = count; left > 0; left--) await new Promise(setImmediate);
  }
}
