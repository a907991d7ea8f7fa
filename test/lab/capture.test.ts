/** A camera's frames reach the guest: every byte, with every backing of the guest's buffers, on real drivers. */
import assert from 'node:assert/strict';
import { type VmmName, vmmTranscripts } from '../../src/client/vmm-transcripts.js';
import type { MmapMode } from '../../src/media/memory/shared-memory.js';
import type { NodeCall } from '../../src/native.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferFlag, BufferType, buffer as bufferRecord, Memory } from '../../src/v4l2/layout.js';
import { Protocol } from '../../src/vhost-user/protocol.js';
import { eventually, mappingsOf } from '../addon/support/process.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { type DqbufEvent, GuestQueue, seconds } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeNode } from './support/native-node.js';
import { onStage, type Stage } from './support/stage.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

/**
 * Cameras that take USERPTR and scattered memory, and cameras that need contiguous memory; single- and multi-planar.
 */
const VIVID = 'vivid n_devs=4 node_types=0x1,0x1,0x1,0x1 allocators=0,1,0,1 multiplanar=1,1,2,2';
const SCATTERED = 'vivid-000-vid-cap';
const CONTIGUOUS = 'vivid-001-vid-cap';
const MULTIPLANAR = 'vivid-002-vid-cap';
const CONTIGUOUS_MULTIPLANAR = 'vivid-003-vid-cap';
const { VIDEO_CAPTURE, VIDEO_CAPTURE_MPLANE } = BufferType;

interface Way {
  readonly name: string;
  readonly node: string;
  readonly vmm: VmmName;
  readonly mmap: MmapMode;
  /** Number of SHMEM_MAPs that the VMM sees for a stream of n planes. */
  readonly mappings: (planes: number) => number;
  /** Number of planes that the bridge maps in its own process, because it copies them. */
  readonly copied: (planes: number) => number;
  readonly memSlots?: boolean;
  readonly buffers: readonly number[];
}

const all = (planes: number) => planes;
const one = () => 1;
const none = () => 0;
const arena = { mmap: 'arena', mappings: one } as const;
const direct = { mmap: 'direct', mappings: all, copied: none } as const;
const ways: readonly Way[] = [
  { name: 'arena, zero copy', node: SCATTERED, vmm: 'qemu', ...arena, copied: none, buffers: [2, 4, 32] },
  { name: 'arena, one copy', node: CONTIGUOUS, vmm: 'qemu', ...arena, copied: all, buffers: [2, 4, 32] },
  { name: 'direct, crosvm', node: SCATTERED, vmm: 'crosvm', ...direct, buffers: [2, 4, 32] },
  { name: 'direct, libkrun', node: CONTIGUOUS, vmm: 'libkrun', ...direct, buffers: [2, 4, 32] },
  {
    name: 'direct, QEMU with memory slots',
    node: SCATTERED,
    vmm: 'qemu',
    ...direct,
    memSlots: true,
    buffers: [32],
  },
];

function onWay(way: Way, play: (stage: Stage, path: string) => Promise<void>): Promise<void> {
  const { node, vmm, mmap, memSlots = false } = way;
  const path = nodeNamed(node);
  const more = memSlots
    ? { protocolFeatures: vmmTranscripts[vmm].protocolFeatures | Protocol.CONFIGURE_MEM_SLOTS }
    : {};
  return onStage(path, { frontEnd: { vmm, ...more }, serve: { mmap, memSlots } }, (stage) =>
    play(stage, path),
  );
}

/** Takes `count` frames and queues each buffer again. Returns the results of `look`. */
async function frames<T>(queue: GuestQueue, count: number, look: (frame: DqbufEvent) => T): Promise<T[]> {
  const seen: T[] = [];
  while (seen.length < count) {
    const frame = await queue.next();
    assert.equal(frame.buffer.flags & BufferFlag.ERROR, 0);
    seen.push(look(frame));
    await queue.queue(frame.buffer.index);
  }
  return seen;
}

function words(type: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(type);
  return payload;
}

/** The first frame of a stream without the bridge. Its buffer is mapped, as in an ordinary program. */
async function nativeFrame(node: NativeNode, type: number) {
  assert.equal(await node.request(2, type), 0);
  const blank = (index: number) => encoded(bufferRecord, { index, type, memory: Memory.MMAP });
  const first = blank(0);
  assert.equal(await node.submit({ kind: 'buffer', nr: Ioctl.QUERYBUF, buffer: first }), 0);
  const { length, m } = bufferRecord.read(first);
  const map: NodeCall & { kind: 'map' } = { kind: 'map', offset: Buffer.from(m).readUInt32LE(), length };
  assert.equal(await node.submit(map), 0);
  for (const index of [0, 1])
    assert.equal(await node.submit({ kind: 'buffer', nr: Ioctl.QBUF, buffer: blank(index) }), 0);
  assert.equal((await node.ioctl(Ioctl.STREAMON, words(type))).errno, 0);
  const frame = blank(0);
  assert.ok(
    await eventually(async () => (await node.submit({ kind: 'dequeueBuffer', buffer: frame })) === 0, 5000),
  );
  // A mapping keeps the open file in use, and is removed some time after its region is closed.
  assert.equal((await node.ioctl(Ioctl.STREAMOFF, words(type))).errno, 0);
  assert.equal(await node.request(0, type), 0);
  map.region?.close();
  return bufferRecord.read(frame);
}

describe('lab: capture', function () {
  this.timeout(60_000);
  before(async function () {
    provide(this, VIVID);
    for (const node of [SCATTERED, CONTIGUOUS, MULTIPLANAR, CONTIGUOUS_MULTIPLANAR])
      await showMovingBars(nodeNamed(node));
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  for (const way of ways)
    for (const buffers of way.buffers)
      it(`${way.name}: ${buffers} buffers, every byte of every frame`, () =>
        onWay(way, async ({ driver, frontEnd }, path) => {
          const queue = new GuestQueue(driver, await driver.open(), VIDEO_CAPTURE);
          await queue.setFormat('RGB3', 320, 180);
          await queue.setRate(50);
          const bars = new MovingBars('RGB3', 320, 180);
          await queue.start(buffers);
          assert.equal(frontEnd.sharedMemory.mapped, way.mappings(buffers));
          const seen = await frames(queue, buffers + 3, (frame) => ({
            index: frame.buffer.index,
            shift: bars.shiftOf(queue.bytes(frame), `frame ${frame.buffer.sequence}`),
          }));
          assert.equal(new Set(seen.map(({ index }) => index)).size, buffers);
          for (let i = 1; i < seen.length; i++)
            assert.notEqual(seen[i]!.shift, seen[i - 1]!.shift, 'a frame is shown twice');
          assert.equal(mappingsOf(path), way.copied(buffers));
          await queue.off();
          await queue.release();
          await driver.close(queue.session);
          assert.ok(await eventually(() => mappingsOf(path) === 0), 'the node is still mapped');
        }));

  // vivid fills buffers in the order in which they were queued, and the bars move with its frame counter. So an event
  // that is lost, doubled or out of order shows in one of them. On a busy machine vivid itself is late and skips a
  // number.
  it('a slow stream has every frame, in order, once', () =>
    onWay(ways[0]!, async ({ driver }) => {
      const queue = new GuestQueue(driver, await driver.open(), VIDEO_CAPTURE);
      await queue.setFormat('YUYV', 320, 180);
      await queue.setRate(10);
      const bars = new MovingBars('YUYV', 320, 180);
      await queue.start(4);
      const seen = await frames(queue, 12, (frame) => ({
        index: frame.buffer.index,
        sequence: frame.buffer.sequence,
        time: seconds(frame.buffer.timestamp),
        shift: bars.shiftOf(queue.bytes(frame), `frame ${frame.buffer.sequence}`),
      }));
      await queue.off();
      assert.deepEqual(
        seen.map(({ index }) => index),
        seen.map((_, i) => i % 4),
      );
      for (const [i, { sequence, time, shift }] of seen.entries()) {
        const before = seen[i - 1];
        if (!before) continue;
        const counted = sequence - before.sequence;
        assert.equal(
          (before.shift - shift + 320) % 320,
          (4 * counted) % 320,
          `frame ${sequence} shows another one`,
        );
        const skipped = counted - 1;
        assert.ok(
          time - before.time > skipped / 10,
          `${skipped} frames are missing before frame ${sequence}`,
        );
      }
    }));

  it('a frame says of itself what a native DQBUF says', () =>
    onWay(ways[0]!, async ({ driver }, path) => {
      const queue = new GuestQueue(driver, await driver.open(), VIDEO_CAPTURE);
      await queue.setFormat('RGB3', 320, 180);
      const own = await NativeNode.with(path, (node) => nativeFrame(node, VIDEO_CAPTURE));
      await queue.start(2);
      const { buffer } = await queue.next();
      for (const field of [
        'bytesused',
        'flags',
        'field',
        'memory',
        'length',
        'reserved2',
        'requestFd',
      ] as const)
        assert.equal(buffer[field], own[field], field);
      assert.deepEqual(buffer.timecode, own.timecode);
      await queue.off();
    }));

  it('MAPPED in a frame says whether the guest has the buffer mapped', () =>
    onWay(ways[0]!, async ({ driver }) => {
      const queue = new GuestQueue(driver, await driver.open(), VIDEO_CAPTURE);
      await queue.setFormat('GREY', 320, 180);
      await queue.start(4);
      await frames(queue, 6, ({ buffer }) => {
        assert.equal(buffer.flags & BufferFlag.MAPPED, BufferFlag.MAPPED);
        assert.equal(buffer.bytesused, 320 * 180);
      });
      await queue.off();
    }));

  it('another format between streams: size and FOURCC, on the same session', () =>
    onWay(ways[0]!, async ({ driver }) => {
      const queue = new GuestQueue(driver, await driver.open(), VIDEO_CAPTURE);
      const formats = [
        ['RGB3', 320, 180],
        ['YUYV', 640, 360],
        ['BGR3', 320, 240],
      ] as const;
      for (const [fourcc, width, height] of formats) {
        await queue.setFormat(fourcc, width, height);
        const bars = new MovingBars(fourcc, width, height);
        await queue.start(3);
        await frames(queue, 5, (frame) => bars.shiftOf(queue.bytes(frame), fourcc));
        await queue.off();
        await queue.release();
      }
    }));

  for (const way of [ways[0]!, ways[2]!])
    it(`${way.name}: stream off and on again with the same buffers`, () =>
      onWay(way, async ({ driver }) => {
        const queue = new GuestQueue(driver, await driver.open(), VIDEO_CAPTURE);
        await queue.setFormat('RGB3', 320, 180);
        await queue.setRate(50);
        const bars = new MovingBars('RGB3', 320, 180);
        await queue.start(4);
        for (let round = 0; round < 3; round++) {
          await frames(queue, 5, (frame) => bars.shiftOf(queue.bytes(frame), `round ${round}`));
          await queue.off();
          for (let index = 0; index < 4; index++) await queue.queue(index);
          await queue.on();
        }
        await queue.off();
      }));

  /** Where vivid starts the planes of each format. */
  const planar: readonly (readonly [string, readonly number[]])[] = [
    ['NM16', [128, 0]],
    ['NM12', [0, 0]],
    ['YM24', [0, 0, 0]],
    ['RGB3', [0]],
  ];
  const planarWays = [
    { ...ways[0]!, node: MULTIPLANAR },
    { ...ways[1]!, node: CONTIGUOUS_MULTIPLANAR },
    { ...ways[2]!, node: MULTIPLANAR },
  ];
  for (const way of planarWays)
    for (const [fourcc, offsets] of planar)
      it(`${way.name}: multi-planar ${fourcc}, ${offsets.length} mappings a buffer`, () =>
        onWay(way, async ({ driver, frontEnd }) => {
          const queue = new GuestQueue(driver, await driver.open(), VIDEO_CAPTURE_MPLANE);
          await queue.setFormat(fourcc, 320, 180);
          await queue.setRate(30);
          const planes = offsets.length;
          assert.equal(queue.format.planes.length, planes);
          const bars = new MovingBars(fourcc, 320, 180);
          await queue.start(4);
          assert.equal(frontEnd.sharedMemory.mapped, way.mappings(4 * planes));
          await frames(queue, 6, (frame) => {
            assert.equal(frame.buffer.length, planes);
            const starts = frame.planes.slice(0, planes).map(({ dataOffset }) => dataOffset);
            assert.deepEqual(starts, offsets);
            bars.shiftOf(queue.bytes(frame), fourcc);
          });
          await queue.off();
          await queue.release();
        }));
});
