/** SHARED_PAGES: the guest's own pages as buffers, on drivers that take USERPTR and on drivers that do not. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { bufferIoctl } from '../../src/client/buffer-ioctls.js';
import type { Piece } from '../../src/client/pieces.js';
import { Errno } from '../../src/errno.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferCapability, BufferFlag, BufferType, Memory } from '../../src/v4l2/layout.js';
import { mappingsOf } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import type { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import {
  fillPieces,
  type Layout,
  type LayoutName,
  layouts,
  PAGE,
  PagesQueue,
  pointer,
  untilIndex,
} from './support/shared-pages-queue.js';
import { errnoOf, onStage, type Stage } from './support/stage.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

const VIVID = 'vivid n_devs=4 node_types=0x1,0x1,0x1,0x1 allocators=0,1,0,1 multiplanar=1,1,2,2';
/** These take USERPTR; the others need contiguous memory. */
const SCATTERED = 'vivid-000-vid-cap';
const CONTIGUOUS = 'vivid-001-vid-cap';
const SCATTERED_PLANES = 'vivid-002-vid-cap';
const CONTIGUOUS_PLANES = 'vivid-003-vid-cap';
const { VIDEO_CAPTURE: type, VIDEO_CAPTURE_MPLANE } = BufferType;

const onPages = (node: string, play: (stage: Stage) => Promise<void>, more = {}): Promise<void> =>
  onStage(nodeNamed(node), { serve: { sharedPages: true, ...more } }, play);

/** Number of mappings of this process that are copies of a guest's buffers. */
const copies = () => readFileSync('/proc/self/maps', 'latin1').split('virtio-media-copy').length - 1;

async function pagesQueue({ driver }: Stage, bufferType: number = type): Promise<PagesQueue> {
  return new PagesQueue(driver, await driver.open(), bufferType);
}

async function frames(queue: GuestQueue, count: number, look: (planes: Uint8Array[], n: number) => void) {
  for (let n = 0; n < count; n++) {
    const frame = await queue.next();
    assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
    look(queue.bytes(frame), n);
    await queue.queue(frame.buffer.index);
  }
}

describe('lab: shared pages', function () {
  this.timeout(60_000);
  before(async function () {
    provide(this, VIVID);
    for (const node of [SCATTERED, CONTIGUOUS, SCATTERED_PLANES, CONTIGUOUS_PLANES])
      await showMovingBars(nodeNamed(node));
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  interface Case {
    readonly node: string;
    readonly fourcc: string;
    /** Number of planes that are copied: to a mapping of the node's memory, or to memory of the bridge. */
    readonly nodeCopies: number;
    readonly ownCopies: Record<LayoutName, number>;
  }
  const zeroCopy = { contiguous: 0, scattered: 0, 'mid-page': 0, crumbs: 1 };
  const none = { contiguous: 0, scattered: 0, 'mid-page': 0, crumbs: 0 };
  const cases: readonly Case[] = [
    { node: SCATTERED, fourcc: 'RGB3', nodeCopies: 0, ownCopies: zeroCopy },
    { node: CONTIGUOUS, fourcc: 'RGB3', nodeCopies: 1, ownCopies: none },
    { node: SCATTERED_PLANES, fourcc: 'NM16', nodeCopies: 0, ownCopies: zeroCopy },
    { node: CONTIGUOUS_PLANES, fourcc: 'NM16', nodeCopies: 1, ownCopies: none },
  ];
  for (const { node, fourcc, nodeCopies, ownCopies } of cases)
    for (const [name, layout] of Object.entries(layouts) as [LayoutName, Layout][])
      it(`${node}, ${name} pages: every byte of every frame`, () =>
        onPages(node, async (stage) => {
          const isPlanar = fourcc === 'NM16';
          const queue = await pagesQueue(stage, isPlanar ? VIDEO_CAPTURE_MPLANE : type);
          await queue.setFormat(fourcc, 320, 180);
          await queue.setRate(30);
          const bars = new MovingBars(fourcc, 320, 180);
          await queue.startOn(3, layout);
          const planes = 3 * queue.format.planes.length;
          await frames(queue, 7, (bytes, n) => bars.shiftOf(bytes, `frame ${n}`));
          assert.equal(mappingsOf(nodeNamed(node)), nodeCopies * planes);
          assert.equal(copies(), ownCopies[name] * planes);
          await queue.off();
          await queue.release();
          assert.equal(copies(), 0);
        }));

  it('a frame lands in the pages that its QBUF named, not in those of the QBUF before', () =>
    onPages(SCATTERED, async (stage) => {
      const queue = await pagesQueue(stage);
      await queue.setFormat('RGB3', 320, 180);
      await queue.setRate(30);
      const bars = new MovingBars('RGB3', 320, 180);
      await queue.startOn(2, layouts.scattered);
      for (let round = 0; round < 8; round++) {
        const { index } = (await queue.next()).buffer;
        const before = queue.pages.get(index)!;
        // The same pages once more, then other pages, then the first ones again. For all of these vb2 would keep old
        // pins.
        if (round % 4 !== 1) queue.give(index, layouts.scattered);
        const untouched = Buffer.alloc(queue.contents(index).length, 0xee);
        queue.fill(index, untouched);
        const gone = before[0]!;
        if (gone !== queue.pages.get(index)![0]) fillPieces(queue, gone, 0xdd);
        await queue.queue(index);
        const frame = await untilIndex(queue, index);
        bars.shiftOf(queue.bytes(frame), `round ${round}`);
        if (gone !== queue.pages.get(index)![0])
          assert.ok(
            gone.every(({ address, length }) =>
              queue.driver.heap.ram.view(address, length).every((b) => b === 0xdd),
            ),
            'the frame went to the old pages',
          );
        await queue.queue(index);
      }
      await queue.off();
    }));

  it("m.userptr and length are the program's own in every answer", () =>
    onPages(CONTIGUOUS, async (stage) => {
      const queue = await pagesQueue(stage);
      await queue.setFormat('GREY', 320, 180);
      await queue.request(2);
      const size = queue.format.planes[0]!.sizeimage;
      queue.pages.set(0, [layouts.contiguous(queue, size + 3 * PAGE)]);
      for (const nr of [Ioctl.PREPARE_BUF, Ioctl.QUERYBUF, Ioctl.QBUF, Ioctl.QUERYBUF]) {
        const { buffer } = await queue.buffer(nr, 0);
        assert.deepEqual(Buffer.from(buffer.m), pointer(0, 0));
        assert.deepEqual([buffer.length, buffer.memory], [size + 3 * PAGE, Memory.USERPTR]);
      }
      await queue.on();
      assert.equal((await queue.next()).buffer.length, size + 3 * PAGE);
      await queue.off();
    }));

  it('a prepared buffer keeps its pages, whatever QBUF says', () =>
    onPages(SCATTERED, async (stage) => {
      const queue = await pagesQueue(stage);
      await queue.setFormat('RGB3', 320, 180);
      await queue.request(2);
      const prepared = queue.give(0, layouts.scattered);
      await queue.prepare(0);
      queue.give(0, layouts.scattered);
      await queue.queue(0);
      queue.give(1, layouts.scattered);
      await queue.queue(1);
      await queue.on();
      queue.pages.set(0, prepared);
      const bars = new MovingBars('RGB3', 320, 180);
      bars.shiftOf(queue.bytes(await queue.next()), 'the prepared buffer');
      await queue.off();
    }));

  it('works where the VMM has no shared memory', () =>
    onPages(
      CONTIGUOUS,
      async (stage) => {
        const queue = await pagesQueue(stage);
        await queue.setFormat('RGB3', 320, 180);
        const bars = new MovingBars('RGB3', 320, 180);
        await queue.startOn(3, layouts.scattered);
        await frames(queue, 5, (bytes, n) => bars.shiftOf(bytes, `frame ${n}`));
        await queue.off();
      },
      { sharedMemorySize: 0 },
    ));

  for (const node of [SCATTERED, CONTIGUOUS])
    it(`${node}: CREATE_BUFS adds buffers, and the capabilities say USERPTR`, () =>
      onPages(node, async (stage) => {
        const queue = await pagesQueue(stage);
        await queue.setFormat('RGB3', 320, 180);
        const { count, capabilities, memory } = await queue.request(2);
        assert.equal(memory, Memory.USERPTR);
        assert.ok(capabilities & BufferCapability.USERPTR);
        const made = await queue.create(2);
        assert.deepEqual([made.index, made.count, made.memory], [count, 2, Memory.USERPTR]);
        assert.ok(made.capabilities & BufferCapability.USERPTR);
        assert.equal(await errnoOf(queue.create(1, queue.formatBytes, Memory.MMAP)), Errno.EINVAL);
        const bars = new MovingBars('RGB3', 320, 180);
        for (let index = 0; index < count + 2; index++) {
          queue.give(index, layouts.scattered);
          await queue.queue(index);
        }
        await queue.on();
        await frames(queue, 4, (bytes, n) => bars.shiftOf(bytes, `frame ${n}`));
        await queue.off();
      }));

  it('is not there unless it is asked for', () =>
    onStage(nodeNamed(SCATTERED), {}, async (stage) => {
      const queue = await pagesQueue(stage);
      await queue.setFormat('RGB3', 320, 180);
      for (const count of [0, 1]) {
        assert.equal(await errnoOf(queue.request(count)), Errno.EINVAL);
        assert.equal(await errnoOf(queue.create(count)), Errno.EINVAL);
      }
      const { capabilities } = await queue.request(1, Memory.MMAP);
      assert.equal(capabilities & BufferCapability.USERPTR, 0);
    }));

  describe('lists that do not add up', () => {
    const far = 2 ** 46;
    const lie = (
      queue: PagesQueue,
      length: number,
    ): Record<string, [readonly Piece[], length: number, errno: number]> => {
      const [good] = layouts.contiguous(queue, length) as [Piece];
      const half = length / 2;
      return {
        'no list at all': [[], length, Errno.EINVAL],
        'too short a list': [[{ ...good, length: half }], length, Errno.EINVAL],
        'an empty entry': [[{ ...good, length: 0 }, good], length, Errno.EINVAL],
        'a buffer too small for a frame': [[{ ...good, length: half }], half, Errno.EINVAL],
        'outside guest memory': [[{ address: far, length }], length, Errno.EFAULT],
        'the end outside guest memory': [
          [
            { ...good, length: half },
            { address: far, length: half },
          ],
          length,
          Errno.EFAULT,
        ],
        'an address that wraps': [[{ address: 2 ** 53 - PAGE, length }], length, Errno.EINVAL],
        '4 GiB of it': [[{ ...good, length: 2 ** 32 - 1 }], 2 ** 32 - 1, Errno.EINVAL],
      };
    };
    for (const node of [SCATTERED, CONTIGUOUS])
      it(`${node}: refused, and nothing is held for them`, () =>
        onPages(node, async (stage) => {
          const queue = await pagesQueue(stage);
          await queue.setFormat('GREY', 320, 180);
          await queue.request(2);
          const maps = () => readFileSync('/proc/self/maps', 'latin1').split('\n').length;
          const before = maps();
          const size = queue.format.planes[0]!.sizeimage;
          for (const [what, [pieces, length, errno]] of Object.entries(lie(queue, size)))
            for (const nr of [Ioctl.QBUF, Ioctl.PREPARE_BUF]) {
              const buffer = { index: 0, type, memory: Memory.USERPTR, m: pointer(0, 0), length };
              const sent = bufferIoctl(queue.driver, queue.session, nr, { buffer, memory: [pieces] });
              assert.equal(await errnoOf(sent), errno, what);
            }
          assert.ok(Math.abs(maps() - before) < 8, `${before} mappings became ${maps()}`);
          queue.give(0, layouts.scattered);
          await queue.queue(0);
        }));

    it('1 TiB in a list of 65,000 entries is refused before anything is allocated', () =>
      onPages(SCATTERED_PLANES, async (stage) => {
        const queue = await pagesQueue(stage, VIDEO_CAPTURE_MPLANE);
        await queue.setFormat('YM24', 320, 180);
        await queue.request(1);
        const [good] = layouts.contiguous(queue, PAGE) as [Piece];
        const length = 2 ** 32 - 1;
        const entries = 256;
        assert.ok(entries * length > 2 ** 40 - 2 ** 32);
        const list = Array.from({ length: entries }, () => ({ ...good, length }));
        const planes = queue.format.planes.map((_, plane) => ({ m: pointer(0, plane), length }));
        const before = process.memoryUsage.rss();
        const buffer = { index: 0, type: VIDEO_CAPTURE_MPLANE, memory: Memory.USERPTR };
        const sent = bufferIoctl(queue.driver, queue.session, Ioctl.QBUF, {
          buffer,
          planes,
          memory: [list, list, list],
        });
        assert.equal(await errnoOf(sent), Errno.EINVAL);
        assert.ok(process.memoryUsage.rss() - before < 64 << 20);
      }));

    it('the same page twice is the guest’s own affair', () =>
      onPages(SCATTERED, async (stage) => {
        const queue = await pagesQueue(stage);
        await queue.setFormat('GREY', 320, 180);
        await queue.request(2);
        const [good] = layouts.contiguous(queue, PAGE) as [Piece];
        const size = queue.format.planes[0]!.sizeimage;
        for (const index of [0, 1]) {
          const twice = Array.from({ length: Math.ceil(size / PAGE) }, () => good);
          queue.pages.set(index, [twice]);
          await queue.queue(index);
        }
        await queue.on();
        assert.equal((await queue.next()).buffer.bytesused, size);
        await queue.off();
      }));
  });
});
