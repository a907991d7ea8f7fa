/**
 * A FAKE host: the unit tests' node with formats, mappings, exports and media requests. A seed decides how its calls
 * end.
 */
import { type NodeCall, native, type Region } from '../../src/native.js';
import type { HostNode } from '../../src/v4l2/node.js';
import { privateRegion } from '../../src/virtio/memory-file.js';
import { FakeFile, FakeNode } from '../unit/media/fake-node.js';
import type { Random } from './random.js';

/** Bytes of each plane. */
const PLANES = [0x3000, 0x1000];
const Flag = { ERROR: 0x40, LAST: 0x10_0000 } as const;
/** Flags of a frame and events of the watcher (PRI, IN, ERR, rarely HUP), each with its weight. */
const frames = [
  [20, 0],
  [2, Flag.ERROR],
  [1, Flag.LAST],
] as const;
const wakes = [
  [40, 2],
  [20, 1],
  [20, 8],
  [1, 0x10],
] as const;
const errnos = [1, 5, 11, 12, 13, 14, 16, 22, 25, 28, 32, 34, 110];

/** Calls that the bridge makes by itself, not for a command of the guest. */
const own: ReadonlySet<NodeCall['kind']> = new Set([
  'watch',
  'poll',
  'dequeueBuffer',
  'dequeueEvent',
  'closeRequest',
]);

/** REMOVE_BUFS as vb2 does it: all or none. Returns an errno. */
function remove({ buffers, queued, done }: FakeFile, payload: Buffer): number {
  const [first, count] = [payload.readUInt32LE(0), payload.readUInt32LE(4)];
  const indices = Array.from({ length: Math.min(count, 65) }, (_, n) => first + n);
  if (indices.some((index) => !buffers[index])) return 22;
  if (indices.some((index) => queued.includes(index) || done.includes(index))) return 16;
  for (const index of indices) delete buffers[index];
  return 0;
}

/** One file of the fake: a queue for each buffer type, because the unit tests' file has only one. */
export class MoodyFile {
  readonly #queues = new Map<number, FakeFile>();
  closed = false;

  constructor(
    private readonly host: FakeHost,
    private readonly node: FakeNode,
    /** Gets every mapping of a buffer. */
    private readonly mapped: Region[],
    private readonly onReady: (events: number) => void,
  ) {}

  open(): Promise<number> {
    this.host.opened = this;
    return Promise.resolve(this.node.openErrno);
  }

  close(): Promise<void> {
    this.closed = true;
    return this.node.closing;
  }

  async call(call: NodeCall): Promise<number> {
    if (!own.has(call.kind)) this.host.executed++;
    if (call.kind === 'map') {
      call.region = privateRegion('fake-buffer', call.length);
      this.mapped.push(call.region);
      return 0;
    }
    if (call.kind === 'edid') {
      call.blocks.fill(0x5c);
      return 0;
    }
    if (call.kind === 'allocateRequest') call.request = native.eventFd();
    if (call.kind.endsWith('Request')) return 0;
    const queue = this.queue(typeOf(call));
    // Only later calls are recorded elsewhere; a long run would collect too many here.
    queue.calls.length = 0;
    queue.watched.length = 0;
    // As vb2_core_reqbufs: REQBUFS is EBUSY while the queue streams.
    if (call.kind === 'ioctl' && call.nr === 8 && queue.streaming) return 16;
    if (call.kind === 'ioctl' && call.nr === 104) return remove(queue, Buffer.from(call.payload));
    return queue.call(call);
  }

  ioctl(nr: number, payload: Uint8Array): Promise<number> {
    return this.call({ kind: 'ioctl', nr, payload });
  }

  /** Queues that stream and have buffers to fill. */
  get busy(): FakeFile[] {
    return [...this.#queues.values()].filter(({ streaming, queued }) => streaming && queued.length > 0);
  }

  /** Queues by buffer type; 0: everything that belongs to no queue. */
  get queues(): ReadonlyMap<number, FakeFile> {
    return this.#queues;
  }

  queue(type: number): FakeFile {
    const queue = this.#queues.get(type) ?? new FakeFile(this.node, this.onReady);
    this.#queues.set(type, queue);
    return queue;
  }
}

/** Byte offset of the buffer type in the records of <linux/videodev2.h>, by ioctl number. */
const typeAt: Readonly<Record<number, number>> = { 8: 4, 18: 0, 19: 0, 92: 16, 104: 8 };

function typeOf(call: NodeCall): number {
  if ('buffer' in call) return Buffer.from(call.buffer).readUInt32LE(4);
  const at = call.kind === 'ioctl' ? typeAt[call.nr] : undefined;
  return at === undefined || call.kind !== 'ioctl' ? 0 : Buffer.from(call.payload).readUInt32LE(at);
}

export class FakeHost {
  /** Number of calls that commands of the guest have caused. */
  executed = 0;
  /** The file that was opened last. */
  opened: MoodyFile | null = null;
  readonly #node: FakeNode;
  readonly #releases: (() => void)[] = [];
  #files: MoodyFile[] = [];
  /** Kept here so that no garbage collection unmaps what the product forgets. */
  readonly #mapped: Region[] = [];

  constructor(private readonly random: Random) {
    const node = new FakeNode();
    this.#node = node;
    node.open = (onReady) => {
      const file = new MoodyFile(this, node, this.#mapped, onReady);
      this.#files.push(file);
      return file as unknown as FakeFile;
    };
    node.memories = random.pick([[1], [1, 2], [1, 2, 4], [1, 4]]);
    node.planeLengths = PLANES.slice(0, random.between(1, 2));
    for (const nr of [4, 5, 64]) node.ioctls.set(nr, (payload) => this.#format(payload));
    node.ioctls.set(16, (payload) => this.#export(payload));
    node.ioctls.set(103, (payload) => this.#describeControl(payload));
    node.controls = ({ payloads }) => {
      for (const payload of payloads) payload?.fill(0x5c);
      return this.#errno(0.1);
    };
  }

  get host(): HostNode {
    return this.#node.host;
  }

  /** One step of the fake driver: frames and events come, and the result of the next calls is chosen. */
  live(): void {
    const { random } = this;
    this.#files = this.#files.filter(({ closed }) => !closed);
    this.#node.fallback = this.#errno(0.2);
    if (random.chance(0.1)) this.#releases.push(this.#node.hold());
    else if (this.#releases.length > 0 && random.chance(0.5)) this.#releases.shift()!();
    for (const file of this.#files) {
      for (const queue of file.busy) if (random.chance(0.5)) queue.frame(random.weighted(frames));
      const events = file.queue(0);
      if (random.chance(0.02)) events.events.push(random.bytes(136));
      if (random.chance(0.05)) events.ready(random.weighted(wakes));
    }
  }

  /** Blocks the next call until the returned function is called. */
  hold(): () => void {
    return this.#node.hold();
  }

  /** Releases every blocked call. */
  relax(): void {
    for (const release of this.#releases.splice(0)) release();
    this.#node.held.length = 0;
  }

  /** Every session is over. Throws if a buffer is still mapped. */
  close(): void {
    const left = this.#mapped.filter(({ windows }) => windows[0]!.byteLength > 0);
    if (left.length > 0) throw new Error(`${left.length} buffers of the host are still mapped`);
  }

  #errno(probability: number): number {
    return this.random.chance(probability) ? this.random.pick(errnos) : 0;
  }

  #format(payload: Buffer): number {
    const type = payload.readUInt32LE(0);
    payload.writeUInt32LE(640, 8);
    payload.writeUInt32LE(360, 12);
    const { planeLengths } = this.#node;
    const isMultiplanar = type === 9 || type === 10;
    if (isMultiplanar) {
      for (const [plane, length] of planeLengths.entries()) payload.writeUInt32LE(length, 28 + 20 * plane);
      payload[188] = planeLengths.length;
    } else payload.writeUInt32LE(planeLengths[0]!, 28);
    return 0;
  }

  #export(payload: Buffer): number {
    payload.writeInt32LE(native.memoryFile('fake-export', PLANES[0]!), 16);
    return 0;
  }

  /** Every other control has a payload. */
  #describeControl(payload: Buffer): number {
    const id = payload.readUInt32LE(0);
    payload.writeUInt32LE(id & 1 ? 0x100 : 0, 4 + 4 + 32 + 8 * 4);
    payload.writeUInt32LE(16, 4 + 4 + 32 + 8 * 4 + 4);
    return this.#errno(0.1);
  }
}
