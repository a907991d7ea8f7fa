/** A program of the host supplies memory to a real driver, through the addon alone: linear mappings and DMABUFs. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { type LinearMapping, native, type Region } from '../../src/native.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, buffer as bufferRecord, Memory } from '../../src/v4l2/layout.js';
import { eventually, mappingsOf, openDescriptors } from '../addon/support/process.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { assertScrubbed, NativeQueue } from './support/native-import-queue.js';
import { NativeNode } from './support/native-node.js';
import { PAGE, ScatteredMemory } from './support/scattered-pages.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

const EBADF = 9;
const EINVAL = 22;
const WIDTH = 320;
const HEIGHT = 180;

for (const [type, multiplanar, fourcc] of [
  [BufferType.VIDEO_CAPTURE, 1, 'YUYV'],
  [BufferType.VIDEO_CAPTURE_MPLANE, 2, 'NM16'],
] as const) {
  const vivid = `vivid n_devs=2 node_types=0x1,0x1 multiplanar=${multiplanar},${multiplanar}`;

  describe(`lab: memory of one's own, ${fourcc}`, function () {
    this.timeout(30_000);
    const bars = new MovingBars(fourcc, WIDTH, HEIGHT);
    let camera: NativeNode;

    before(async function () {
      provide(this, vivid);
      await showMovingBars(nodeNamed('vivid-000-vid-cap'));
    });
    beforeEach(async () => {
      camera = await NativeNode.open(nodeNamed('vivid-000-vid-cap'));
    });
    afterEach(() => camera.close());
    after(() => unload(vivid));

    const open = async (node: NativeNode, memory: number): Promise<NativeQueue> => {
      const queue = new NativeQueue(node, type, memory);
      await queue.setFormat(fourcc, WIDTH, HEIGHT);
      return queue;
    };

    it('frames land in scattered pages, byte for byte', async () => {
      const memory = new ScatteredMemory('scattered', 1024);
      const queue = await open(camera, Memory.USERPTR);
      await queue.request(3);
      // Each plane has pages of its own. In the second and third buffer the memory does not begin at the start of a
      // page.
      const buffers = [0, 64, 2048].map((skip, index) =>
        queue.sizes.map((size, plane) => memory.pieces(index * 320 + plane * 150, size, skip)),
      );
      const mappings = buffers.map((planes) => planes.map((pieces) => memory.join(pieces)));
      const lies = (index: number) => ({
        memory: mappings[index]!.map((region) => ({ region, offset: 0, length: region.size })),
      });
      for (const index of buffers.keys()) await queue.queue(index, lies(index));
      await queue.on();
      for (let count = 0; count < 9; count++) {
        const { index, spans } = await queue.next();
        const shown = spans.map(({ start, end }, i) =>
          memory.gather(buffers[index]![i]!).subarray(start, end),
        );
        bars.shiftOf(shown, `frame ${count} in buffer ${index}`);
        memory.clear();
        await queue.queue(index, lies(index));
      }
      const asked = await queue.ask(Ioctl.QUERYBUF, 0);
      assert.equal(asked.errno, 0);
      assertScrubbed(asked);
      await queue.off();
      for (const mapping of mappings.flat()) mapping.close();
      memory.close();
    });

    it('a mapping that is closed while its buffer is queued keeps getting the frame', async () => {
      const memory = new ScatteredMemory('closed', 512);
      const queue = await open(camera, Memory.USERPTR);
      await queue.request(1);
      const planes = queue.sizes.map((size, plane) => memory.pieces(plane * 150, size));
      const mappings: LinearMapping[] = planes.map((pieces) => memory.join(pieces));
      await queue.queue(0, {
        memory: mappings.map((region) => ({ region, offset: 0, length: region.size })),
      });
      for (const mapping of mappings) mapping.close();
      await queue.on();
      const { spans } = await queue.next();
      const shown = spans.map(({ start, end }, i) => memory.gather(planes[i]!).subarray(start, end));
      bars.shiftOf(shown, 'the frame');
      await queue.off();
      memory.close();
    });

    it('a DMABUF of another queue is filled, and nothing but that queue holds it', async () => {
      const before = openDescriptors();
      const lender = await NativeNode.open(nodeNamed('vivid-001-vid-cap'));
      const lent = await open(lender, Memory.MMAP);
      await lent.request(2);
      const queue = await open(camera, Memory.DMABUF);
      await queue.request(2);
      const regions: Region[][] = [];
      for (const index of [0, 1]) {
        const descriptors = await lent.export(index);
        await queue.queue(index, { descriptors });
        regions.push(descriptors.map((fd, i) => new native.Region(fd, 0, lent.sizes[i]!)));
        for (const fd of descriptors) closeSync(fd);
      }
      await queue.on();
      for (let count = 0; count < 2; count++) {
        const { index, spans } = await queue.next();
        const shown = spans.map(({ start, end }, i) =>
          Buffer.from(regions[index]![i]!.windows[0]!).subarray(start, end),
        );
        bars.shiftOf(shown, `the frame in buffer ${index}`);
      }
      const asked = await queue.ask(Ioctl.QUERYBUF, 0);
      assert.deepEqual([asked.errno, bufferRecord.read(asked.buffer).memory], [0, Memory.DMABUF]);
      assertScrubbed(asked);
      await queue.off();
      for (const region of regions.flat()) region.close();
      await lender.close();
      assert.ok(await eventually(() => mappingsOf('dmabuf') === 0));
      assert.equal(openDescriptors(), before);
    });

    it('a descriptor that is no DMABUF: the errno of the kernel, and nothing is left', async () => {
      const queue = await open(camera, Memory.DMABUF);
      await queue.request(1);
      const before = openDescriptors();
      const wrong = native.memoryFile('no-dmabuf', 1 << 20);
      for (const nr of [Ioctl.QBUF, Ioctl.PREPARE_BUF]) {
        const refused = await queue.ask(nr, 0, { descriptors: queue.sizes.map(() => wrong) });
        assert.equal(refused.errno, EINVAL);
        assertScrubbed(refused);
        assert.equal(
          (await queue.ask(nr, 0, { descriptors: queue.sizes.map(() => 1_000_000) })).errno,
          EBADF,
        );
      }
      closeSync(wrong);
      assert.equal(openDescriptors(), before);
    });
  });
}

describe('lab: huge pages', () => {
  /** The two pages of 2 MiB that the lab reserves (test/lab/run.sh). */
  const SIZE = 4 << 20;

  before(function () {
    provide(this);
    if (readFileSync('/proc/filesystems', 'latin1').includes('hugetlbfs')) return;
    console.error('SKIPPED: lab: huge pages: this kernel has none');
    this.skip();
  });

  it('are not joined: EINVAL, and nothing is left', async () => {
    const folder = mkdtempSync('/tmp/vmb-huge-');
    execFileSync('mount', ['-t', 'hugetlbfs', 'none', folder]);
    const fd = openSync(join(folder, 'ram'), 'w+');
    ftruncateSync(fd, SIZE);
    const region = new native.Region(fd, 0, SIZE);
    new Uint8Array(region.windows[0]!)[SIZE / 2] = 1;
    const lines = () => readFileSync('/proc/self/maps', 'latin1').split('\n').length;
    const count = lines();
    for (const [offset, length] of [
      [0, PAGE],
      [PAGE, PAGE],
      [0, SIZE],
      [SIZE / 2, SIZE / 2],
    ] as const) {
      for (let round = 0; round < 100; round++) {
        assert.equal(native.linearMapping([{ region, offset, length }]), -EINVAL);
      }
    }
    assert.ok(lines() - count < 100);
    assert.equal(new Uint8Array(region.windows[0]!)[SIZE / 2], 1);
    region.close();
    closeSync(fd);
    assert.ok(await eventually(() => mappingsOf(folder) === 0));
    execFileSync('umount', [folder]);
    rmdirSync(folder);
  });
});
