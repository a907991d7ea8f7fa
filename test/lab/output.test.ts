/** Frames that a guest sends: vivid shows on its camera's input what its output was given. */
import assert from 'node:assert/strict';
import { BufferFlag, BufferType } from '../../src/v4l2/layout.js';
import { mappingsOf } from '../addon/process.js';
import { keepJournal, showJournal } from './journal.js';
import { nodeNamed, provide, unload } from './kernel-modules.js';
import { NativeNode } from './native-node.js';
import { GuestQueue } from './queue.js';
import { Stage } from './stage.js';
import { showBars } from './vivid.js';

const vivid = (allocator: number) =>
  `vivid n_devs=1 node_types=0x101 allocators=${allocator} num_inputs=1 input_types=3 num_outputs=1 output_types=1`;
/** "HDMI 000-0 Is Connected To": the third choice is the output of the same name. */
const CONNECTED_TO = 0x00f0_f071;
const OUTPUT = 2;
/** The format that HDMI starts with. */
const [WIDTH, HEIGHT] = [1280, 720];
const BUFFERS = 2;

for (const { name, allocator, dialect, copies } of [
  { name: 'zero copy', allocator: 0, dialect: 'qemu', copies: 0 },
  { name: 'one copy', allocator: 1, dialect: 'qemu', copies: BUFFERS },
  { name: 'direct', allocator: 0, dialect: 'crosvm', copies: 0 },
] as const)
  describe(`lab: output, ${name}`, function () {
    this.timeout(60_000);
    let output: Stage;
    let input: Stage;

    before(async function () {
      provide(this, vivid(allocator));
      keepJournal();
      await showBars(nodeNamed('vivid-000-vid-cap'));
      await NativeNode.with(nodeNamed('vivid-000-vid-cap'), (node) => node.setControl(CONNECTED_TO, OUTPUT));
      output = await Stage.open(nodeNamed('vivid-000-vid-out'), { frontEnd: { dialect } });
      input = await Stage.open(nodeNamed('vivid-000-vid-cap'), { frontEnd: { dialect } });
    });
    afterEach(function () {
      showJournal(this.currentTest);
    });
    after(async () => {
      await output?.close();
      await input?.close();
      unload('vivid');
    });

    /** Fills a buffer: every pixel of it says which frame it is. */
    const fill = (queue: GuestQueue, index: number, frame: number) => {
      const { driverAddress, length } = queue.mappings.get(index)![0]!;
      output.driver.window(driverAddress, length).fill(pixelOf(frame));
    };
    const pixelOf = (frame: number) => 20 + frame * 10;

    it('frames come out as they went in, and buffers come back in turn', async () => {
      const sent = new GuestQueue(output.driver, await output.driver.open(), BufferType.VIDEO_OUTPUT);
      await sent.setFormat('YUYV', WIDTH, HEIGHT);
      const bytesused = sent.format.planes[0]!.sizeimage;
      await sent.request(BUFFERS);
      for (let index = 0; index < BUFFERS; index++) {
        await sent.map(index);
        fill(sent, index, index);
        await sent.queue(index, { bytesused });
      }
      assert.equal(mappingsOf(nodeNamed('vivid-000-vid-out')), copies);
      await sent.on();
      const seen = new GuestQueue(input.driver, await input.driver.open(), BufferType.VIDEO_CAPTURE);
      await seen.setFormat('YUYV', WIDTH, HEIGHT);
      await seen.start(3);
      const shown = new Set<number>();
      for (let frame = BUFFERS; frame < 8; frame++) {
        const { buffer } = await sent.next();
        assert.equal(buffer.index, frame % BUFFERS, 'out of turn');
        assert.equal(buffer.flags & BufferFlag.ERROR, 0);
        fill(sent, buffer.index, frame);
        await sent.queue(buffer.index, { bytesused });
        const picture = await seen.next();
        const [bytes] = seen.bytes(picture);
        assert.equal(bytes!.length, bytesused);
        const [first] = bytes!;
        if (Buffer.alloc(bytesused, first).equals(bytes!)) shown.add(first!);
        await seen.queue(picture.buffer.index);
      }
      const frames = [...shown].filter((pixel) => pixel >= 20 && pixel % 10 === 0);
      assert.ok(frames.length >= 3, `the camera saw ${[...shown].join(' ')}`);
      await sent.off();
      await seen.off();
      output.verify();
      input.verify();
    });
  });
