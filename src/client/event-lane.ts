/** The driver's eventq: 16 buffers, which the driver posts again after each event. */
import { dqbufEvent, Event, errorEvent, eventHeader, sessionEvent } from '../media/protocol.js';
import { buffer as bufferRecord, event as eventRecord, plane as planeRecord } from '../v4l2/layout.js';
import type { DriverQueue } from './driver-queue.js';
import type { Block, Heap } from './heap.js';

/** The Linux driver posts the same number (VIRTIO_MEDIA_NUM_EVENT_BUFS). */
const EVENT_BUFFERS = 16;

export type BufferRecord = ReturnType<typeof bufferRecord.read>;
export type PlaneRecord = ReturnType<typeof planeRecord.read>;
export type EventRecord = ReturnType<typeof eventRecord.read>;

export type MediaEvent =
  /** `planes`: all eight records of the event. For a multi-planar type the buffer's `length` is the number in use. */
  | { kind: 'dqbuf'; sessionId: number; buffer: BufferRecord; planes: PlaneRecord[] }
  | { kind: 'event'; sessionId: number; event: EventRecord }
  | { kind: 'error'; sessionId: number; errno: number };

export interface EventReceiver {
  deliver(event: MediaEvent): void;
  /** The device sent an event that the Linux driver drops. `sentence` describes it. */
  complain(sentence: string): void;
}

/** Bytes and reader of each event, by number (VIRTIO 1.4, Media Device, "Device Operation: Event Virtqueue"). */
const readers: ReadonlyMap<number, { name: string; size: number; read: (bytes: Buffer) => MediaEvent }> =
  new Map([
    [Event.ERROR, { name: 'ERROR', size: errorEvent.size, read: readError }],
    [Event.DQBUF, { name: 'DQBUF', size: dqbufEvent.size, read: readDqbuf }],
    [Event.EVENT, { name: 'EVENT', size: sessionEvent.size, read: readEvent }],
  ]);

/** An event buffer that the device returned. `bytes`: a copy of what the device wrote. */
export interface ReturnedEvent {
  readonly block: Block;
  readonly bytes: Buffer;
}

export class EventLane {
  readonly #queue: DriverQueue;
  readonly #receiver: EventReceiver;
  readonly #blocks = new Map<number, Block>();

  constructor(queue: DriverQueue, heap: Heap, receiver: EventReceiver) {
    this.#queue = queue;
    this.#receiver = receiver;
    for (let i = 0; i < EVENT_BUFFERS; i++) this.#post(heap.block(dqbufEvent.size));
  }

  /** Event buffers that the device can use now. */
  get posted(): number {
    return this.#blocks.size;
  }

  /** Takes the returned event buffers from the ring. The caller processes each with process(). */
  take(): ReturnedEvent[] {
    return this.#queue.poll().map(({ token, written }) => {
      const block = this.#blocks.get(token)!;
      this.#blocks.delete(token);
      return { block, bytes: Buffer.from(block.bytes(0).subarray(0, written)) };
    });
  }

  /** Delivers an event, then posts its buffer again with a kick, as the Linux driver does. */
  process({ block, bytes }: ReturnedEvent): void {
    this.#dispatch(bytes);
    this.#post(block);
  }

  /** Frees the posted buffers. The device must not use the ring any more. */
  release(): void {
    for (const block of this.#blocks.values()) block.release();
    this.#blocks.clear();
  }

  #post(block: Block): void {
    this.#blocks.set(this.#queue.add([], block.pieces), block);
    this.#queue.kick();
  }

  #dispatch(bytes: Buffer): void {
    const number = bytes.length < eventHeader.size ? -1 : eventHeader.read(bytes).event;
    const reader = readers.get(number);
    if (!reader) this.#receiver.complain(`an event of ${bytes.length} bytes with number ${number}`);
    else if (bytes.length < reader.size)
      this.#receiver.complain(`${reader.name} event of ${bytes.length} bytes, ${reader.size} are needed`);
    else this.#receiver.deliver(reader.read(bytes));
  }
}

function readError(bytes: Buffer): MediaEvent {
  const { sessionId, errno } = errorEvent.read(bytes);
  return { kind: 'error', sessionId, errno };
}

function readEvent(bytes: Buffer): MediaEvent {
  const { sessionId, v4l2Event } = sessionEvent.read(bytes);
  return { kind: 'event', sessionId, event: eventRecord.read(v4l2Event) };
}

function readDqbuf(bytes: Buffer): MediaEvent {
  const { sessionId, buffer, planes } = dqbufEvent.read(bytes);
  const records = Array.from({ length: planes.length / planeRecord.size }, (_, i) =>
    planeRecord.read(planes, i * planeRecord.size),
  );
  return { kind: 'dqbuf', sessionId, buffer: bufferRecord.read(buffer), planes: records };
}
