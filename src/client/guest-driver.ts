/**
 * A virtio-media driver that behaves like the Linux driver: same descriptors, same bytes, same order (VIRTIO 1.4, Media
 * Device). `complaints` records what the Linux driver could not handle.
 */
import {
  COMMANDQ,
  Command,
  closeCommand,
  commandHeader,
  EVENTQ,
  ioctlCommand,
  MMAP_FLAG_RW,
  mmapCommand,
  mmapResponse,
  munmapCommand,
  openResponse,
  responseHeader,
} from '../media/protocol.js';
import { encoded, type Field, type Struct, type ValueOf } from '../struct.js';
import { type Direction, ioctls } from '../v4l2/ioctls.js';
import { CommandLane, type LaneOptions } from './command-lane.js';
import { type DriverQueue, RingError } from './driver-queue.js';
import { EventLane, type MediaEvent } from './event-lane.js';
import type { Block, Heap } from './heap.js';
import { Inboxes } from './inboxes.js';
import type { Machine } from './machine.js';
import { gather, type Piece } from './pieces.js';
import { QueuedBuffers } from './queued-buffers.js';
import { type Answer, checked, readAnswer, type Transaction } from './transaction.js';

/** Reserved word of CLOSE. The Linux driver does not clear it: the bytes of its last command are still there. */
const STALE = 0x5a5a_0067;
/** G_INPUT and G_OUTPUT are _IOR, but the Linux driver sends them as read-write. */
const SENT_AS_READ_WRITE: ReadonlySet<number> = new Set([38, 46]);

export interface Mapping {
  /** Offset in SHM region 0, in bytes. */
  readonly driverAddress: number;
  readonly length: number;
}

export class GuestDriver {
  /** Sentences about what the Linux driver could not handle: lost events, returned buffers that were not queued. */
  readonly complaints: string[] = [];
  readonly queued = new QueuedBuffers();
  readonly #machine: Machine;
  readonly #queues: DriverQueue[];
  readonly #commands: CommandLane;
  readonly #events: EventLane;
  readonly #inboxes = new Inboxes(this.queued, (sentence) => this.complaints.push(sentence));
  #removed: Error | undefined;

  private constructor(machine: Machine, options: LaneOptions) {
    this.#machine = machine;
    const commandq = machine.createQueue(COMMANDQ);
    const eventq = machine.createQueue(EVENTQ);
    this.#queues = [commandq, eventq];
    this.#commands = new CommandLane(commandq, options);
    this.#events = new EventLane(eventq, machine.heap, {
      deliver: (event) => this.#inboxes.deliver(event),
      complain: (sentence) => this.complaints.push(sentence),
    });
    machine.attach(this);
  }

  /** Sets up the queues and posts the event buffers, and only then sets DRIVER_OK, as the Linux driver does. */
  static async probe(machine: Machine, options: Partial<LaneOptions> = {}): Promise<GuestDriver> {
    const driver = new GuestDriver(machine, {
      timeout: 5000,
      concurrent: false,
      cutting: undefined,
      ...options,
    });
    await machine.ready();
    return driver;
  }

  /** The guest's memory. Throws the error that ended the driver, if it has ended. */
  get heap(): Heap {
    if (this.#removed) throw this.#removed;
    return this.#machine.heap;
  }

  /** Answers that came after the timeout. */
  get lateAnswers(): number {
    return this.#commands.lateAnswers;
  }

  /** Event buffers that the device can use: 16 when the driver processes no event. */
  get postedEvents(): number {
    return this.#events.posted;
  }

  /** Collects everything that the device has returned. The machine calls it on an interrupt; a test may call it too. */
  poll(): void {
    if (this.#removed) return;
    try {
      for (let busy = true; busy; ) {
        // Take events first, process them after the answers: then an answer published before an event is handled first.
        const events = this.#events.take();
        const answered = this.#commands.collect();
        for (const event of events) this.#events.process(event);
        busy = answered || events.length > 0;
      }
    } catch (error) {
      if (!(error instanceof RingError)) throw error;
      this.complaints.push(error.message);
      this.fail(error);
    }
  }

  /** OPEN: returns the session id. Throws DriverError with the status. */
  async open(): Promise<number> {
    const block = this.heap.block(commandHeader.size, openResponse.size);
    commandHeader.write(block.bytes(0), { command: Command.OPEN, reserved: 0 });
    const answer = await this.#execute(this.#simple('OPEN', block), openResponse.size);
    const { sessionId } = openResponse.read(answer.whole);
    this.#inboxes.opened(sessionId);
    return sessionId;
  }

  /** CLOSE has no response: it is done when the device returns the chain. */
  async close(sessionId: number): Promise<void> {
    const block = this.heap.block(closeCommand.size);
    closeCommand.write(block.bytes(0), { command: Command.CLOSE, reserved: 0, sessionId, reserved2: STALE });
    const answered = () => this.#inboxes.closed(sessionId);
    await this.#commands.submit({
      operation: 'CLOSE',
      readable: block.pieces,
      writable: [],
      block,
      answered,
    });
  }

  /**
   * Any ioctl without embedded pointers. Returns the payload of the answer; a write-only ioctl has none. `payload` is
   * zero-filled to `size` bytes. `size` and `direction` default to the ioctl's row. Throws DriverError with the status.
   */
  async ioctl(
    sessionId: number,
    nr: number,
    payload: Uint8Array = new Uint8Array(0),
    shape: { direction?: Direction; size?: number } = {},
  ): Promise<Buffer> {
    const row = ioctls.get(nr);
    const direction = SENT_AS_READ_WRITE.has(nr) ? 'wr' : (shape.direction ?? row?.direction ?? 'wr');
    const size = shape.size ?? row?.size ?? payload.length;
    const operation = this.operation(nr);
    const block = this.heap.block(ioctlCommand.size, size, responseHeader.size);
    const [command, data, response] = block.pieces;
    this.writeIoctl(block.bytes(0), sessionId, nr);
    block.bytes(1).set(payload.subarray(0, size));
    const sent = Buffer.from(block.bytes(1));
    // The payload of a read-write ioctl is the same memory in the readable and in the writable part.
    const transaction = {
      operation,
      block,
      readable: direction === 'r' ? [command] : [command, data],
      writable: direction === 'w' ? [response] : [response, data],
      answered: ({ errno }: Answer) => {
        if (errno === 0) this.queued.answered(sessionId, nr, sent);
      },
    };
    const needed = responseHeader.size + (direction === 'w' ? 0 : size);
    return (await this.#execute(transaction, needed)).payload;
  }

  /** Like ioctl(), with a record of v4l2/layout.ts as payload and as result. Fields that are not given are 0. */
  // biome-ignore lint/suspicious/noExplicitAny: struct() takes the same open set of fields
  async call<F extends Record<string, Field<any>>>(
    sessionId: number,
    nr: number,
    record: Struct<F>,
    fields: Partial<ValueOf<F>> = {},
  ): Promise<ValueOf<F>> {
    const row = ioctls.get(nr);
    const answer = await this.ioctl(sessionId, nr, encoded(record, fields));
    return record.read(row?.direction === 'w' ? encoded(record, fields) : answer);
  }

  /** MMAP. `offset`: mmap offset of a plane, from QUERYBUF. */
  async mmap(sessionId: number, offset: number, writable = true): Promise<Mapping> {
    const block = this.heap.block(mmapCommand.size, mmapResponse.size);
    const flags = writable ? MMAP_FLAG_RW : 0;
    mmapCommand.write(block.bytes(0), { command: Command.MMAP, reserved: 0, sessionId, flags, offset });
    const answer = await this.#execute(this.#simple('MMAP', block), mmapResponse.size);
    const { driverAddress, length } = mmapResponse.read(answer.whole);
    return { driverAddress, length };
  }

  async munmap(driverAddress: number): Promise<void> {
    const block = this.heap.block(munmapCommand.size, responseHeader.size);
    munmapCommand.write(block.bytes(0), { command: Command.MUNMAP, reserved: 0, driverAddress });
    await this.#execute(this.#simple('MUNMAP', block), responseHeader.size);
  }

  /** Live bytes of a mapping. */
  window(driverAddress: number, length: number): Uint8Array {
    return this.#machine.window(driverAddress, length);
  }

  /** Sends arbitrary bytes as one command. Returns everything that the device wrote, header included. */
  async command(readable: Uint8Array, writableLength: number): Promise<Buffer> {
    const block = this.heap.block(readable.length, writableLength);
    block.bytes(0).set(readable);
    const [input, output] = block.pieces;
    let written: Buffer = Buffer.alloc(0);
    const answered = (length: number) => {
      written = gather(this.heap.ram, [output], length);
    };
    await this.#commands.submit({
      operation: 'a raw command',
      readable: [input],
      writable: [output],
      block,
      answered,
    });
    return written;
  }

  /** Sends a command that is in guest memory already, and reads its answer. A status other than 0 does not throw. */
  async transact({ operation, block, readable, writable, answered }: Transaction): Promise<Answer> {
    let answer: Answer | undefined;
    const seen = (written: number) => {
      answer = readAnswer(operation, gather(this.heap.ram, writable, written));
      answered?.(answer);
    };
    await this.#commands.submit({ operation, readable, writable, block, answered: seen });
    return answer!;
  }

  /** Name of an ioctl in errors. */
  operation(nr: number): string {
    return ioctls.get(nr)?.name ?? `ioctl ${nr}`;
  }

  writeIoctl(bytes: Uint8Array, sessionId: number, code: number): void {
    ioctlCommand.write(bytes, { command: Command.IOCTL, reserved: 0, sessionId, code });
  }

  /** Gives waiting and later events of the session to `handler`, in order; undefined: events wait for nextEvent(). */
  onEvent(sessionId: number, handler: ((event: MediaEvent) => void) | undefined): void {
    this.#inboxes.of(sessionId).handle(handler);
  }

  /** The session's next event. Rejects with CommandTimeout (ETIMEDOUT) if none comes within `timeout` milliseconds. */
  nextEvent(sessionId: number, timeout = 5000): Promise<MediaEvent> {
    return this.#inboxes.of(sessionId).next(timeout);
  }

  /** How many events of the session are not read yet. */
  waitingEvents(sessionId: number): number {
    return this.#inboxes.of(sessionId).waiting;
  }

  /** The device is gone: rejects waiting and later commands, and waiting nextEvent() calls, with `error`. */
  fail(error: Error): void {
    this.#removed ??= error;
    this.#commands.fail(error);
    this.#inboxes.fail(error);
  }

  /** Removes the driver and frees its memory. The machine must have stopped or reset the device before. */
  remove(): void {
    this.#machine.attach(undefined);
    this.fail(new Error('the guest driver was removed'));
    this.#events.release();
    for (const queue of this.#queues.splice(0)) queue.release();
  }

  async #execute(transaction: Transaction, needed: number): Promise<Answer> {
    return checked(transaction.operation, await this.transact(transaction), needed);
  }

  #simple(operation: string, block: Block<[Piece, Piece]>): Transaction {
    const [command, response] = block.pieces;
    return { operation, block, readable: [command], writable: [response] };
  }
}
