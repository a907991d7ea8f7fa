/** Many sessions, and all ways in which they end: closed while they stream, VMM killed, device reset, VM paused. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { GuestDriver } from '../../src/client/guest-driver.js';
import type { Vmm } from '../../src/client/vmm.js';
import type { VmmName } from '../../src/client/vmm-transcripts.js';
import { Errno } from '../../src/errno.js';
import type { MmapMode } from '../../src/media/memory/shared-memory.js';
import { MAX_SESSIONS } from '../../src/media/policy.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, fmtdesc } from '../../src/v4l2/layout.js';
import { eventually, mappingsOf, openDescriptors, threads } from '../addon/support/process.js';
import { holdingsOf } from '../device/support/process-holdings.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { isFree, NativeNode } from './support/native-node.js';
import { errnoOf, onStage, Stage } from './support/stage.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

/** The second camera has no USERPTR. Its frames are copied, so the bridge maps the node's memory. */
const VIVID = 'vivid n_devs=2 node_types=0x1,0x1 allocators=0,1';
const SCATTERED = 'vivid-000-vid-cap';
const CONTIGUOUS = 'vivid-001-vid-cap';
const type = BufferType.VIDEO_CAPTURE;
const CLIENT = fileURLToPath(new URL('support/streaming-client.js', import.meta.url));

interface Way {
  readonly name: string;
  readonly camera: string;
  readonly vmm: VmmName;
  readonly mmap: MmapMode;
}
const ways: readonly Way[] = [
  { name: 'arena, zero copy', camera: SCATTERED, vmm: 'qemu', mmap: 'arena' },
  { name: 'arena, one copy', camera: CONTIGUOUS, vmm: 'qemu', mmap: 'arena' },
  { name: 'direct', camera: SCATTERED, vmm: 'crosvm', mmap: 'direct' },
];

function onWay({ camera, vmm, mmap }: Way, play: (stage: Stage, path: string) => Promise<void>) {
  const path = nodeNamed(camera);
  return onStage(path, { frontEnd: { vmm }, serve: { mmap } }, (stage) => play(stage, path));
}

async function streaming(driver: GuestDriver, buffers = 4): Promise<GuestQueue> {
  const queue = new GuestQueue(driver, await driver.open(), type);
  await queue.setFormat('RGB3', 320, 180);
  await queue.setRate(30);
  await queue.start(buffers);
  await queue.next();
  return queue;
}

/** cloud-hypervisor disables and enables the rings, and sends nothing else. */
const stopped = { stop: (vmm: Vmm) => vmm.stop(), start: (vmm: Vmm) => vmm.start() };
const pauses = {
  qemu: stopped,
  crosvm: stopped,
  'cloud-hypervisor': {
    stop: ({ conversation }: Vmm) => conversation.stop.disable(),
    start: ({ conversation }: Vmm) => conversation.start.enable(),
  },
};

/** Number of mappings in this process of the arena, the guest's memory, and the node's buffers. */
function heldMappings(path: string): number {
  return ['memfd:virtio-media', 'memfd:guest-ram', 'dmabuf', path].reduce(
    (sum, name) => sum + mappingsOf(name),
    0,
  );
}

/** The promise is one second. The node is tested every few milliseconds. */
async function freeWithinASecond(path: string): Promise<void> {
  const started = performance.now();
  while (!(await isFree(path, type)))
    assert.ok(performance.now() - started < 1000, 'the node is still taken after a second');
}

describe('lab: sessions', function () {
  this.timeout(60_000);
  before(async function () {
    provide(this, VIVID);
    for (const camera of [SCATTERED, CONTIGUOUS]) await showMovingBars(nodeNamed(camera));
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(() => unload(VIVID));

  it('who has the buffers is decided as on the host: the second is refused with EBUSY', () =>
    onStage(nodeNamed(SCATTERED), {}, async ({ driver }) => {
      const path = nodeNamed(SCATTERED);
      const own = await NativeNode.with(path, (one) =>
        NativeNode.with(path, async (two) => [
          await one.request(2, type),
          await two.request(2, type),
          await one.request(0, type),
          await two.request(2, type),
        ]),
      );
      const one = new GuestQueue(driver, await driver.open(), type);
      const two = new GuestQueue(driver, await driver.open(), type);
      const asked = [];
      for (const [queue, count] of [
        [one, 2],
        [two, 2],
        [one, 0],
        [two, 2],
      ] as const)
        asked.push(await errnoOf(queue.request(count)));
      assert.deepEqual(asked, own);
      assert.equal(asked[1], Errno.EBUSY);
      assert.equal(await errnoOf(one.on()), await NativeNode.with(path, (node) => streamOn(node)));
      assert.equal(await NativeNode.with(path, (node) => node.request(2, type)), Errno.EBUSY);
    }));

  it('110 sessions at once; one too many is refused; all ids differ, none comes again', () =>
    onStage(nodeNamed(SCATTERED), {}, async ({ driver }) => {
      const ids: number[] = [];
      while (ids.length < 110) ids.push(await driver.open());
      const format = { index: 0, type };
      for (const id of [ids[0]!, ids[57]!, ids[109]!]) await driver.call(id, Ioctl.ENUM_FMT, fmtdesc, format);
      while (ids.length < MAX_SESSIONS) ids.push(await driver.open());
      assert.notEqual(await errnoOf(driver.open()), 0);
      for (const id of ids.slice(0, 40)) await driver.close(id);
      for (let i = 0; i < 40; i++) ids.push(await driver.open());
      assert.equal(new Set(ids).size, MAX_SESSIONS + 40);
      assert.deepEqual(
        ids,
        [...ids].sort((a, b) => a - b),
        'ids grow',
      );
    }));

  it('commands on sessions that are closed, or never were', () =>
    onStage(nodeNamed(SCATTERED), {}, async ({ driver }) => {
      const id = await driver.open();
      await driver.close(id);
      for (const gone of [id, 0, 4711, 0xffff_ffff]) {
        const asked = driver.call(gone, Ioctl.ENUM_FMT, fmtdesc, { index: 0, type });
        assert.equal(await errnoOf(asked), Errno.EBADF);
        assert.equal(await errnoOf(driver.mmap(gone, 0x1_0000)), Errno.EBADF);
        await driver.close(gone);
      }
    }));

  for (const way of ways) {
    it(`${way.name}: closed while it streams, the node is free when CLOSE is done`, () =>
      onWay(way, async ({ driver }, path) => {
        for (let round = 0; round < 3; round++) {
          const queue = await streaming(driver);
          assert.equal(await isFree(path, type), false);
          await driver.close(queue.session);
          assert.equal(await isFree(path, type), true);
        }
      }));

    it(`${way.name}: its VMM hangs up while it streams, and the next one finds everything as it was`, () =>
      onWay(way, async (stage, path) => {
        await streaming(stage.driver);
        assert.ok(heldMappings(path) > 0);
        stage.leave();
        await freeWithinASecond(path);
        assert.ok(await eventually(() => heldMappings(path) === 0), 'memory of the guest is still mapped');
        await stage.enter();
        const queue = await streaming(stage.driver);
        const bars = new MovingBars('RGB3', 320, 180);
        bars.shiftOf(queue.bytes(await queue.next()), 'for the next one');
      }));

    it(`${way.name}: the guest resets the device while it streams`, () =>
      onWay(way, async (stage, path) => {
        const { session } = await streaming(stage.driver);
        await stage.frontEnd.reset();
        stage.driver.remove();
        stage.driver = await GuestDriver.probe(stage.frontEnd);
        await freeWithinASecond(path);
        const asked = stage.driver.call(session, Ioctl.ENUM_FMT, fmtdesc, { index: 0, type });
        assert.equal(await errnoOf(asked), Errno.EBADF, 'sessions end with the reset');
        const queue = await streaming(stage.driver);
        new MovingBars('RGB3', 320, 180).shiftOf(queue.bytes(await queue.next()), 'after the reset');
      }));
  }

  it('a client that is killed while it streams: free within a second, nothing left behind', async () => {
    const path = nodeNamed(SCATTERED);
    const stage = await Stage.open(path);
    stage.leave();
    try {
      const held: [number, number][] = [];
      for (let round = 0; round < 3; round++) {
        const client = spawn(process.execPath, [CLIENT, stage.socket], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        const closed = once(client, 'close');
        await once(client.stdout, 'data');
        assert.equal(await isFree(path, type), false);
        client.kill('SIGKILL');
        await freeWithinASecond(path);
        await closed;
        // The last thread of a closed file may need a moment to end.
        const isQuiet = () => holdingsOf('self').threads.length === 0;
        assert.ok(await eventually(isQuiet), `threads of closed files: ${holdingsOf('self').threads}`);
        held.push([openDescriptors(), threads()]);
      }
      assert.deepEqual(held[2], held[1], `descriptors and threads: ${held.join(' ')}`);
      await stage.enter();
      await streaming(stage.driver);
      stage.verify();
    } finally {
      await stage.close();
    }
  });

  it('200 times open, stream, close: nothing grows', () =>
    onStage(nodeNamed(SCATTERED), {}, async ({ driver, frontEnd }) => {
      const round = async () => {
        const queue = new GuestQueue(driver, await driver.open(), type);
        await queue.request(2);
        for (const index of [0, 1]) await queue.queue(index);
        await queue.on();
        await queue.next();
        await driver.close(queue.session);
      };
      const first = new GuestQueue(driver, await driver.open(), type);
      await first.setFormat('GREY', 320, 180);
      await first.setRate(120);
      await driver.close(first.session);
      for (let i = 0; i < 10; i++) await round();
      const before = [openDescriptors(), threads(), frontEnd.sharedMemory.mappings.length];
      for (let i = 0; i < 190; i++) await round();
      const settled = () => openDescriptors() <= before[0]! && threads() <= before[1]!;
      assert.ok(
        await eventually(settled, 2000),
        `${openDescriptors()} descriptors, ${threads()} threads: ${before}`,
      );
      assert.equal(frontEnd.sharedMemory.mappings.length, before[2]);
    }));

  for (const vmm of ['qemu', 'crosvm', 'cloud-hypervisor'] as const)
    it(`${vmm}: a VM that is paused finds its stream going on`, () =>
      onStage(nodeNamed(SCATTERED), { frontEnd: { vmm } }, async ({ driver, frontEnd }) => {
        const queue = new GuestQueue(driver, await driver.open(), type);
        await queue.setFormat('RGB3', 320, 180);
        await queue.setRate(30);
        await queue.request(4);
        for (let index = 0; index < 4; index++) await queue.queue(index);
        await queue.on();
        const order: number[] = [];
        const take = async (count: number) => {
          for (let i = 0; i < count; i++) {
            const { index } = (await queue.next()).buffer;
            order.push(index);
            await queue.queue(index);
          }
        };
        await take(5);
        for (let pause = 0; pause < 2; pause++) {
          await pauses[vmm].stop(frontEnd);
          const rings = () =>
            frontEnd.rings.map(({ driver: ring }) => usedIndex(ring!.places.used, frontEnd.heap));
          const before = rings();
          await new Promise((resolve) => setTimeout(resolve, 250));
          assert.deepEqual(rings(), before, 'the device wrote to a guest that stands still');
          await pauses[vmm].start(frontEnd);
          await take(6);
        }
        assert.deepEqual(
          order,
          order.map((_, i) => i % 4),
          'a frame was lost or doubled',
        );
        await queue.off();
      }));
});

function usedIndex(address: number, { ram }: GuestDriver['heap']): number {
  return Buffer.from(ram.view(address, 4)).readUInt16LE(2);
}

async function streamOn(node: NativeNode): Promise<number> {
  const payload = Buffer.alloc(4);
  payload.writeUInt32LE(type);
  return (await node.ioctl(Ioctl.STREAMON, payload)).errno;
}
