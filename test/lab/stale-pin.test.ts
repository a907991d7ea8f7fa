/**
 * A trap of USERPTR: vb2 compares a buffer's address and length with those of its last QBUF. If both are the same, it
 * keeps the pages that it pinned then, whatever memory is at that address now (__prepare_userptr).
 */
import assert from 'node:assert/strict';
import { BufferType, Memory } from '../../src/v4l2/layout.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { NativeQueue } from './support/native-import-queue.js';
import { NativeNode } from './support/native-node.js';
import { ScatteredMemory } from './support/scattered-pages.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const CAMERA = 'vivid-000-vid-cap';
const WIDTH = 320;
const HEIGHT = 180;

describe('lab: stale pins', function () {
  this.timeout(30_000);
  let memory: ScatteredMemory;
  let node: NativeNode;
  let queue: NativeQueue;
  const bars = new MovingBars('YUYV', WIDTH, HEIGHT);

  before(async function () {
    provide(this, VIVID);
    await showMovingBars(nodeNamed(CAMERA));
  });
  beforeEach(async () => {
    memory = new ScatteredMemory('stale-pin', 256);
    node = await NativeNode.open(nodeNamed(CAMERA));
    queue = new NativeQueue(node, BufferType.VIDEO_CAPTURE, Memory.USERPTR);
    await queue.setFormat('YUYV', WIDTH, HEIGHT);
    await queue.request(1);
  });
  afterEach(async () => {
    await node.close();
    memory.close();
  });
  after(() => unload(VIVID));

  const size = () => queue.sizes[0]!;
  /** Captures a frame into buffer 0, whose memory is `region`. */
  async function frame(region: ReturnType<ScatteredMemory['join']>): Promise<void> {
    memory.clear();
    await queue.queue(0, { memory: [{ region, offset: 0, length: size() }] });
    assert.equal((await queue.next()).index, 0);
  }

  it('the same address with other pages: the frame lands in the old ones', async () => {
    const old = memory.pieces(0, size());
    const other = memory.pieces(128, size());
    const first = memory.joinAt(old);
    await queue.on();
    await frame(first.mapping);
    bars.shiftOf([memory.gather(old)], 'the first frame');

    first.mapping.close();
    const second = memory.joinAt(other);
    assert.equal(
      second.address,
      first.address,
      'this kernel gave another address this time: the trap cannot be shown',
    );
    await frame(second.mapping);
    assert.ok(memory.isUntouched(other), 'vb2 looked at the pages: the trap is gone from this kernel');
    bars.shiftOf([memory.gather(old)], 'the frame that went astray');

    const third = memory.joinAt(other);
    assert.notEqual(third.address, second.address);
    await frame(third.mapping);
    bars.shiftOf([memory.gather(other)], 'the frame at another address');
    assert.ok(memory.isUntouched(old));
    for (const { mapping } of [second, third]) mapping.close();
  });

  it('the same address with other pages after REQBUFS(0): the right ones', async () => {
    const old = memory.pieces(0, size());
    const other = memory.pieces(128, size());
    const first = memory.joinAt(old);
    await queue.on();
    await frame(first.mapping);
    await queue.off();
    await queue.request(0);
    first.mapping.close();
    await queue.request(1);
    const second = memory.joinAt(other);
    assert.equal(second.address, first.address);
    await queue.on();
    await frame(second.mapping);
    bars.shiftOf([memory.gather(other)], 'the frame after REQBUFS(0)');
    assert.ok(memory.isUntouched(old));
    second.mapping.close();
  });
});
