/** Buffers of SHARED_PAGES, and a session with the only members that the memory type uses. The guest's memory is real. */
import { LinearMappings, type PageMapping } from '../../../../src/media/memory/guest-pages.js';
import type { Attached, BufferCall } from '../../../../src/media/memory/memory-type.js';
import { SgBudget } from '../../../../src/media/memory/sg-budget.js';
import { sharedPages } from '../../../../src/media/memory/shared-pages.js';
import { defaultPolicy, MAX_SESSION_LIST_BYTES } from '../../../../src/media/policy.js';
import type { Backing } from '../../../../src/media/queues/backings.js';
import { BufferQueue } from '../../../../src/media/queues/buffer-queue.js';
import { type HostBuffer, VideoBuffer, VideoPlane } from '../../../../src/media/queues/video-buffer.js';
import type { Session } from '../../../../src/media/session.js';
import type { NodeCall, Region } from '../../../../src/native.js';
import { Turn } from '../../../../src/virtio/turn.js';
import { success } from '../../support/success.js';
import { Bench, BUFFERS, GUEST } from '../../virtio/bench.js';
import { joinPieces } from './fake-join.js';

export const CAPTURE = 1;
export const QBUF = 15;
export const PREPARE_BUF = 93;
export const PAGE = 4096;
export const LENGTH = 3 * PAGE - 100;
export const BASE = GUEST + BUFFERS;
/** The program's pointer in a record of call(), as hex. */
export const USERPTR = '0102030405060708';

export type Entry = readonly [address: number, length: number];
export const scattered = (...pages: number[]): Entry[] =>
  pages.map((page, n) => [BASE + page * PAGE, n === pages.length - 1 ? PAGE - 100 : PAGE]);

export class PagesStage {
  readonly bench = new Bench();
  /** Linear mappings that are not closed yet. */
  open: PageMapping[] = [];
  /** Number of joins. */
  made = 0;
  readonly #real = new LinearMappings();
  readonly session = {
    id: 1,
    lists: new SgBudget(MAX_SESSION_LIST_BYTES),
    call: async (call: NodeCall & { kind: 'join' }) => joinPieces(call),
    context: {
      memory: this.bench.memory,
      policy: defaultPolicy,
      linearMappings: { join: (...given: Parameters<LinearMappings['join']>) => this.#join(...given) },
      turn: new Turn(),
    },
  } as unknown as Session;

  async #join(...given: Parameters<LinearMappings['join']>): Promise<PageMapping | null> {
    const mapped = await this.#real.join(...given);
    if (!mapped) return null;
    this.made++;
    const mapping: PageMapping = {
      ...mapped,
      close: () => {
        mapped.close();
        this.open = this.open.filter((each) => each !== mapping);
      },
    };
    this.open.push(mapping);
    return mapping;
  }

  call(
    buffer: VideoBuffer,
    backing: Backing,
    entries: readonly Entry[],
    { nr = QBUF, type = CAPTURE, length = LENGTH } = {},
  ): BufferCall {
    const record = Buffer.alloc(88);
    record.writeUInt32LE(type, 4);
    record.writeUInt32LE(2, 60);
    record.write(USERPTR, 64, 'hex');
    record.writeUInt32LE(length, 72);
    const rest = Buffer.alloc(16 * entries.length);
    for (const [n, [address, bytes]] of entries.entries()) {
      rest.writeBigUInt64LE(BigInt(address), 16 * n);
      rest.writeUInt32LE(bytes, 16 * n + 8);
      rest.writeUInt32LE(0xdead_beef, 16 * n + 12);
    }
    const guest = { record, planes: Buffer.alloc(0), rest };
    const queue = new BufferQueue(type, backing);
    return { session: this.session, queue, vb: buffer, guest, nr, request: 0 };
  }

  /** Attaches the buffer of such a call. The kernel takes it. */
  async taken(...given: Parameters<PagesStage['call']>): Promise<Attached> {
    const attached = await attach(this.call(...given));
    attached.settle!(0);
    return attached;
  }

  /** The driver gives a CAPTURE buffer back that it has filled. */
  async returned(buffer: VideoBuffer, backing: Backing, bytesused: number): Promise<void> {
    await sharedPages.release(this.session, new BufferQueue(CAPTURE, backing), buffer, answer(bytesused));
  }

  close(): void {
    for (const mapping of [...this.open]) mapping.close();
    this.bench.close();
  }
}

/** Adds the hooks of a suite. The stage of each test is given to `made`, and is closed after the test. */
export function pagesSuite(made: (stage: PagesStage) => void): void {
  let stage: PagesStage;
  beforeEach(() => {
    stage = new PagesStage();
    made(stage);
  });
  afterEach(() => stage.close());
}

/** A buffer with one plane. `host`: the plane's host memory, if there is any. */
export const held = (length = LENGTH, host: Region | null = null): VideoBuffer =>
  new VideoBuffer(0, [new VideoPlane(length, 1, { host })]);

export async function attach(given: BufferCall): Promise<Attached> {
  return success(await sharedPages.attach(given));
}

export const place = ({ host }: Attached) => host.memory![0]!;

/** The kernel's v4l2_buffer with this `bytesused`. */
export function answer(bytesused: number): HostBuffer {
  const record = Buffer.alloc(88);
  record.writeUInt32LE(bytesused, 8);
  record.writeUInt32LE(LENGTH + PAGE, 72);
  return { buffer: record };
}
