/** Commands: every one, with every ioctl of the table, in any order on several sessions, over a fake or a real node. */
import { ioctls } from '../../src/v4l2/ioctls.js';
import { join, u32, u64 } from '../device/support/bytes.js';
import type { FakeHost } from './fake-host.js';
import type { Fuzzer, Run, Target } from './fuzzer.js';
import { GuestMachine, MOST_READABLE, MOST_WRITABLE, PAGES, SHM_SIZE, VOLATILE } from './guest-machine.js';
import { Knowledge, type KnownSession } from './knowledge.js';
import { MemoryWriter } from './memory-writer.js';
import { type Ground, makers } from './payloads.js';
import type { Random } from './random.js';
import { makeSubject, type Subject } from './subject.js';

const MOST_SESSIONS = 6;
/**
 * Turns of the loop that an operation waits for its answer. A real node needs longer, because it works on its own
 * threads.
 */
const PATIENCE = 8;
const END_MS = 8000;
/** Milliseconds between LAST_WRITE_MS and GUEST_TIMEOUT_MS of media/policy.ts. */
const STALL_MS = 4700;
const EINTR = 4;
/** Media requests: see docs/stateless.md. */
const requestNumbers = [192, 193, 194, 195];
const numbers = [...ioctls.keys(), ...requestNumbers];
/** The ioctls that set up a stream; they are sent more often than the others. */
const streaming = [
  8, 8, 9, 9, 15, 15, 15, 15, 15, 18, 18, 19, 5, 4, 92, 93, 16, 71, 72, 28, 103, 90, 192, 193,
];

const sizeOf = (nr: number): number => ioctls.get(nr)?.size ?? 4;

type Operation = (run: CommandRun) => void | Promise<void>;

const operations: readonly (readonly [weight: number, operation: Operation])[] = [
  [30, (run) => run.open()],
  [10, (run) => run.shut()],
  [500, (run) => run.ioctl(run.random.pick(streaming))],
  [250, (run) => run.ioctl(run.random.pick(numbers))],
  [60, (run) => run.mmap()],
  [40, (run) => run.munmap()],
  [30, (run) => run.nonsense()],
  [15, (run) => run.malformed()],
  [2, (run) => run.reset()],
  [2, (run) => run.pause()],
  [12, (run) => run.late()],
  [2, (run) => run.stall()],
];

export const commands: Fuzzer = {
  name: 'commands',
  share: 50,
  begin: (random, target) => CommandRun.begin(random, target),
};

class CommandRun implements Run {
  readonly #machine: GuestMachine;
  readonly #ground: Ground;
  #memoryWriter: MemoryWriter | null = null;

  private constructor(
    readonly random: Random,
    private readonly subject: Subject,
  ) {
    this.#machine = new GuestMachine(random, subject.device);
    const knowledge = new Knowledge(random);
    this.#ground = { random, knowledge, types: subject.types, pages: PAGES };
  }

  static async begin(random: Random, target: Target): Promise<CommandRun> {
    const size = random.chance(0.9) ? SHM_SIZE : 0;
    const run = new CommandRun(random, await makeSubject(random, target, size));
    if (random.chance(0.1)) await run.#startMemoryWriter();
    return run;
  }

  get #knowledge(): Knowledge {
    return this.#ground.knowledge;
  }

  async step(): Promise<void> {
    while (this.#machine.isFull) {
      this.subject.relax();
      await this.#machine.turns(1);
    }
    this.subject.live();
    const answeredBefore = this.#machine.commandq.outstanding;
    await this.random.weighted(operations)(this);
    // Mostly one command after the other, as a driver does it; now and then all at once.
    const patience = this.random.chance(0.8) ? PATIENCE : this.random.below(2);
    for (let turn = 0; turn < patience && this.#machine.commandq.outstanding > answeredBefore; turn++)
      await this.#machine.turns(1);
    if (patience === 0) await this.#machine.turns(0);
  }

  async end(): Promise<void> {
    this.subject.relax();
    const { commandq } = this.#machine;
    const limit = performance.now() + END_MS;
    while (commandq.outstanding > 0 && performance.now() < limit) await this.#machine.turns(1);
    if (commandq.outstanding > 0) throw new Error(`${commandq.outstanding} chains never came back`);
    await this.#memoryWriter?.stop();
    // If the memory writer has run, guest memory may contain anything.
    if (!this.#memoryWriter) this.#machine.scan();
    this.#machine.stop();
    this.subject.device.disconnected();
    await this.subject.device.closed();
    if (this.subject.device.sessions > 0) throw new Error('sessions are left');
    this.#machine.close();
    this.subject.close();
  }

  open(): void {
    if (this.#knowledge.sessions.length >= MOST_SESSIONS) return this.shut();
    this.#send(u32(1, 0), 16, (bytes) => {
      if (bytes.length === 16 && bytes.readUInt32LE(0) === 0) this.#knowledge.opened(bytes.readUInt32LE(8));
    });
  }

  shut(): void {
    const { id } = this.#knowledge.session();
    this.#knowledge.closed(id);
    this.#send(u32(2, 0, id, 0), this.random.pick([0, 0, 8]));
  }

  ioctl(nr: number): void {
    const { random } = this;
    const session = this.#knowledge.session();
    const payload = this.#payload(nr, session);
    const room = random.chance(0.95) ? 8 + payload.length + 16 : random.below(8 + payload.length + 1);
    this.#send(join(u32(3, 0, session.id, nr), payload), room, (bytes) => {
      const isWhole = bytes.length >= 8 + sizeOf(nr) && bytes.readUInt32LE(0) === 0;
      if (isWhole) this.#knowledge.learn(session, nr, bytes.subarray(8));
    });
  }

  mmap(): void {
    const { mmapOffsets, addresses } = this.#knowledge;
    const isKnown = mmapOffsets.length > 0 && this.random.chance(0.9);
    const mmapOffset = isKnown ? this.random.pick(mmapOffsets) : this.random.edge();
    this.#send(u32(4, 0, this.#knowledge.session().id, this.random.below(3), mmapOffset), 24, (bytes) => {
      if (bytes.length === 24 && bytes.readUInt32LE(0) === 0)
        this.#knowledge.remember(addresses, bytes.readUInt32LE(8));
    });
  }

  munmap(): void {
    const { addresses } = this.#knowledge;
    const isKnown = addresses.length > 0 && this.random.chance(0.9);
    this.#send(join(u32(5, 0), u64(isKnown ? this.random.pick(addresses) : this.random.edge64())), 8);
  }

  /** Commands that are too short, too long or unknown. */
  nonsense(): void {
    const { random } = this;
    const request = join(
      u32(random.pick([0, 1, 2, 3, 4, 5, 6, random.edge()])),
      random.bytes(random.below(60)),
    );
    this.#send(request.subarray(0, random.between(1, request.length)), random.below(40));
  }

  malformed(): void {
    this.#machine.malformed();
  }

  /** The guest resets the device: every chain has come back, and the driver starts again. */
  async reset(): Promise<void> {
    this.subject.relax();
    this.#machine.stop();
    this.#returned();
    this.subject.device.reset();
    this.#machine.window.reset();
    this.#knowledge.forgetSessions();
    this.#machine.begin();
  }

  /** The VMM pauses the VM and resumes it. */
  async pause(): Promise<void> {
    this.#machine.stop();
    this.#returned();
    await new Promise(setImmediate);
    this.#machine.start();
  }

  /**
   * A command is answered EINTR while its ioctl runs, and then sent again. The ioctl must have run once, and the
   * session's record must be what the driver has. Only for a fake, whose calls can be blocked.
   */
  async late(): Promise<void> {
    const { known } = this.subject;
    if (!known || this.#machine.isFull) return;
    const { host, records } = known;
    await this.#quiet();
    records.compare();
    const nr = this.random.pick(this.random.chance(0.7) ? streaming : numbers);
    const session = this.#knowledge.session();
    const request = join(u32(3, 0, session.id, nr), this.#payload(nr, session));
    const before = host.executed;
    const release = host.hold();
    const first = await this.#interrupted(request, host);
    release();
    this.subject.relax();
    await this.#quiet();
    records.compare();
    const executed = host.executed;
    // If the memory writer changes commands, no two commands are the same.
    if (first !== EINTR || executed === before || this.#memoryWriter) return;
    const again = await this.#asked(request);
    await this.#quiet();
    records.compare();
    if (again === EINTR) throw new Error(`ioctl ${nr} is EINTR though nothing is stopped`);
    if (host.executed !== executed && !this.#isDoneAgain(nr))
      throw new Error(`ioctl ${nr} was done twice: ${host.executed - executed} calls at the second try`);
  }

  /** The process stands still for longer than a chain may be written to, so the chain must come back empty. */
  async stall(): Promise<void> {
    const { now } = performance;
    await this.#machine.turns(1);
    performance.now = () => now.call(performance) + STALL_MS;
    try {
      this.subject.relax();
      await new Promise(setImmediate);
    } finally {
      performance.now = now;
    }
  }

  /** The status of a command that is answered while its ioctl is blocked. -1: the answer has no status. */
  async #interrupted(request: Buffer, host: FakeHost): Promise<number> {
    let status = -1;
    const before = host.executed;
    this.#send(request, MOST_WRITABLE, (bytes) => {
      status = bytes.length < 4 ? -1 : bytes.readUInt32LE(0);
    });
    for (let turn = 0; turn < PATIENCE && host.executed === before; turn++) await this.#machine.turns(1);
    this.#machine.stop();
    this.#returned();
    this.#machine.start();
    return status;
  }

  async #asked(request: Buffer): Promise<number> {
    let status = -1;
    const { commandq } = this.#machine;
    this.#send(request, MOST_WRITABLE, (bytes) => {
      status = bytes.length < 4 ? -1 : bytes.readUInt32LE(0);
    });
    const limit = performance.now() + END_MS;
    while (commandq.outstanding > 0 && performance.now() < limit) await this.#machine.turns(1);
    return status;
  }

  /** Resolves when nothing is under way. */
  async #quiet(): Promise<void> {
    this.subject.relax();
    const limit = performance.now() + END_MS;
    while (this.#machine.commandq.outstanding > 0 && performance.now() < limit) await this.#machine.turns(1);
    await this.subject.known?.records.settled();
  }

  /** Ioctls that may run twice: REQUEST_ALLOC, and those that read guest pages whose content may have changed since. */
  #isDoneAgain(nr: number): boolean {
    return [192, 71, 72, 73].includes(nr);
  }

  /**
   * A queue that stops has given back every command that it has taken. Those that it has not taken yet are taken later.
   */
  #returned(): void {
    const { commandq } = this.#machine;
    const { queue } = commandq;
    if (queue.popped !== queue.pushed)
      throw new Error(`${queue.popped - queue.pushed} chains are left in the ring`);
  }

  async #startMemoryWriter(): Promise<void> {
    const { ram } = this.#machine.side;
    const places = VOLATILE.map(({ start, length }) => ({ start: ram.at(start), length }));
    this.#memoryWriter = await MemoryWriter.start(ram.fd, ram.bytes.length, places, this.random.u32());
  }

  #payload(nr: number, session: KnownSession): Buffer {
    const { random } = this;
    const isKnown = random.chance(0.2) && this.#knowledge.answers.has(nr);
    const made = isKnown
      ? Buffer.from(this.#knowledge.answers.get(nr)!)
      : makers[nr]?.(this.#ground, session);
    const payload = made ?? Buffer.alloc(sizeOf(nr));
    if (!made || random.chance(0.1)) random.bend(payload, random.pick([1, 2, 8]));
    const cut = random.chance(0.98) ? payload : payload.subarray(0, random.below(payload.length + 1));
    return cut.subarray(0, MOST_READABLE - 16);
  }

  #send(request: Uint8Array, room: number, answered?: (bytes: Buffer) => void): void {
    this.#machine.command(request, Math.min(room, MOST_WRITABLE), answered);
  }
}
