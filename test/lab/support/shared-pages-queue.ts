/**
 * A queue whose buffers are guest pages (SHARED_PAGES). The test decides which pages, and how they are cut into pieces.
 */
import { type BufferAnswer, type BufferRequest, bufferIoctl } from '../../../src/client/buffer-ioctls.js';
import { gather, lengthOf, type Piece, scatter } from '../../../src/client/pieces.js';
import { isMultiplanar } from '../../../src/v4l2/buffer-type.js';
import { Memory } from '../../../src/v4l2/layout.js';
import { type DqbufEvent, GuestQueue } from './guest-queue.js';

export const PAGE = 4096;

/** Chooses guest memory for a plane of `length` bytes. */
export type Layout = (queue: PagesQueue, length: number) => Piece[];

const room = (queue: PagesQueue, bytes: number) => queue.driver.heap.allocate(bytes, PAGE);

export type LayoutName = 'contiguous' | 'scattered' | 'mid-page' | 'crumbs';

export const layouts: Readonly<Record<LayoutName, Layout>> = {
  /** One piece of whole pages. */
  contiguous: (queue, length) => [{ address: room(queue, length), length }],
  /**
   * Every page is a piece of its own. Neighbouring pieces are not adjacent, and come from two regions of guest memory
   * in turn.
   */
  scattered: (queue, length) => {
    const pages = Math.ceil(length / PAGE);
    const halves = [room(queue, pages * PAGE), room(queue, pages * PAGE)];
    return Array.from({ length: pages }, (_, n) => ({
      address: halves[n % 2]! + (pages - 1 - n) * PAGE,
      length: Math.min(PAGE, length - n * PAGE),
    }));
  },
  /** As malloc does it: the memory starts and ends inside a page, and the pages are scattered. */
  'mid-page': (queue, length) => {
    const skip = 512;
    const [first, ...others] = layouts.scattered(queue, length + skip);
    return [{ address: first!.address + skip, length: first!.length - skip }, ...others];
  },
  /** Pieces that are no whole pages, so they cannot be joined by a page table. */
  crumbs: (queue, length) => {
    const start = room(queue, 2 * length);
    const size = 1000;
    return Array.from({ length: Math.ceil(length / size) }, (_, n) => ({
      address: start + 2 * n * size,
      length: Math.min(size, length - n * size),
    }));
  },
};

export class PagesQueue extends GuestQueue {
  override readonly memory = Memory.USERPTR;
  /** The pieces of each plane, by buffer index. */
  readonly pages = new Map<number, Piece[][]>();

  /** Gives the buffer new memory for each of its planes. */
  give(index: number, layout: Layout): Piece[][] {
    const planes = this.format.planes.map(({ sizeimage }) => layout(this, sizeimage));
    this.pages.set(index, planes);
    return planes;
  }

  /** Writes `bytes` to the buffer's memory. */
  fill(index: number, bytes: Uint8Array, plane = 0): void {
    scatter(this.driver.heap.ram, this.pages.get(index)![plane]!, bytes);
  }

  contents(index: number, plane = 0): Buffer {
    return gather(this.driver.heap.ram, this.pages.get(index)![plane]!);
  }

  async startOn(count: number, layout: Layout): Promise<void> {
    await this.request(count);
    for (let index = 0; index < count; index++) {
      this.give(index, layout);
      await this.queue(index);
    }
    await this.on();
  }

  override buffer(
    nr: number,
    index: number,
    more: Partial<BufferRequest['buffer']> = {},
  ): Promise<BufferAnswer> {
    const memory = this.pages.get(index) ?? [];
    const buffer = { index, type: this.type, memory: this.memory };
    const named = memory.map((pieces, number) => ({ m: pointer(index, number), length: lengthOf(pieces) }));
    if (!isMultiplanar(this.type))
      return bufferIoctl(this.driver, this.session, nr, {
        buffer: { ...buffer, ...named[0], ...more },
        memory,
      });
    const planes = this.format.planes.map((_, number) => named[number] ?? {});
    return bufferIoctl(this.driver, this.session, nr, { buffer: { ...buffer, ...more }, planes, memory });
  }

  override bytes({ buffer, planes }: DqbufEvent): Uint8Array[] {
    const single = [{ bytesused: buffer.bytesused, dataOffset: 0 }];
    const used = isMultiplanar(this.type) ? planes.slice(0, this.format.planes.length) : single;
    return used.map(({ bytesused, dataOffset }, plane) =>
      this.contents(buffer.index, plane).subarray(dataOffset, bytesused),
    );
  }
}

/** The m.userptr of a program. It has no meaning for the device, which must return it unchanged. */
export function pointer(index: number, plane: number): Buffer {
  const m = Buffer.alloc(8);
  m.writeBigUInt64LE(0x7f12_3456_0000_0000n + BigInt(index * 0x100_0000 + plane * 0x1_0000 + 8));
  return m;
}

/** Fills guest memory. */
export function fillPieces(queue: PagesQueue, pieces: readonly Piece[], byte: number): void {
  for (const { address, length } of pieces) queue.driver.heap.ram.view(address, length).fill(byte);
}

/** The next frame of this buffer. Other buffers are queued again. */
export async function untilIndex(queue: PagesQueue, index: number): Promise<DqbufEvent> {
  for (;;) {
    const frame = await queue.next();
    if (frame.buffer.index === index) return frame;
    await queue.queue(frame.buffer.index);
  }
}
