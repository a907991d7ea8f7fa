/**
 * A real QEMU is paused and resumed two hundred times at random moments of a stream, on fast drivers and on a slow one.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { Codec } from '../../src/client/codec.js';
import { Command } from '../../src/media/protocol.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { collect, PATIENT } from '../lab/support/codec-session.js';
import { CuseNode } from '../lab/support/cuse-node.js';
import { fwhtFrames, fwhtSize } from '../lab/support/fwht-stream.js';
import { nodeNamed, provide, unload } from '../lab/support/kernel-modules.js';
import { movingPicture } from '../lab/support/moving-picture.js';
import { decodeNatively, encodeNatively } from '../lab/support/v4l2-ctl-codec.js';
import { Bridge } from './support/bridge.js';
import { Capture } from './support/capture.js';
import { Guest } from './support/guest.js';
import { requires, VIVID, VIVID_NODE } from './support/host.js';
import { PausedVm } from './support/paused-vm.js';
import { type Held, SlowedLanes } from './support/slowed-lanes.js';
import { BUFFERS, inOrder, startStream } from './support/streaming.js';

const PAUSES = 200;
const RATE = 15;
/** Milliseconds. Less than BUFFERS frame periods, so that the hardware always has a buffer. */
const LONGEST_MS = 40;
/** Milliseconds. In a longer pause the hardware may run out of buffers. */
const MOST_MS = ((BUFFERS - 1) * 1000) / RATE;
const SLOW_MS = 15;
const CODEC_LONGEST_MS = 4;
const VICODEC = 'vicodec multiplanar=0';
const FRAMES = 12;
/** Milliseconds that an ioctl of a lane takes when a pause is placed within it. */
const HELD_MS = 1000;
const whereHeld: Readonly<Record<Held, string>> = {
  enter: 'before the driver has it',
  exit: 'when the driver is done with it',
};

describe('a real QEMU that is paused again and again', function () {
  this.timeout(300_000);
  let bridge: Bridge;
  let guest: Guest;
  let vm: PausedVm;
  let node: CuseNode | undefined;
  const seed = randomInt(2 ** 32);

  before(function () {
    requires(this, 'qemu');
    console.log(`      seed ${seed}`);
  });
  const boot = async (device: string, ...options: string[]) => {
    bridge = await Bridge.serve(device, '--shm-size', '64M', ...options);
    guest = await Guest.boot(bridge.socket);
  };
  afterEach(async function () {
    if (this.currentTest?.state === 'failed')
      console.error(bridge?.program.stderr, guest?.qemu.program.stderr);
    await guest?.close();
    await bridge?.close();
    await node?.end();
    node = undefined;
  });
  after(() => unload(VICODEC));

  /** Takes frames until the VM has had all its pauses, and `more` frames after that. */
  const stream = async (capture: Capture, more: number) => {
    const taken = [];
    const pauses = vm.pause(PAUSES, LONGEST_MS);
    let left = Number.POSITIVE_INFINITY;
    void pauses.then(() => {
      left = more;
    });
    for (; left > 0; left--) {
      const buffer = await capture.next();
      taken.push(buffer);
      await capture.queue(buffer.index);
    }
    await pauses;
    return taken;
  };
  const nobodyComplains = () => {
    assert.deepEqual(guest.driver.complaints, []);
    assert.equal(vm.pauses >= PAUSES, true);
  };

  it('vivid: every frame, in order, in the same buffers, and the stream goes on', async function () {
    provide(this, VIVID);
    await boot(nodeNamed(VIVID_NODE));
    const capture = await startStream(guest, RATE);
    vm = new PausedVm(guest, seed);
    const frames = await stream(capture, 4 * BUFFERS);
    inOrder(frames);
    const sequences = frames.map(({ sequence }) => sequence);
    const missing = sequences.at(-1)! - sequences[0]! + 1 - new Set(sequences).size;
    console.log(
      `      ${frames.length} frames, ${missing} numbers missing, ${vm.interrupted} commands ended with EINTR, longest pause ${vm.longest.toFixed()} ms`,
    );
    // vivid goes on counting without a buffer. If a pause lasts longer than the buffers do, a missing number can have
    // either cause.
    if (vm.longest < MOST_MS) assert.equal(missing, 0);
    else console.error('      NOT JUDGED: whether a number is missing; this machine is too slow');
    nobodyComplains();
    await capture.stop();
    await capture.close();
  });

  it('a node whose ioctls are slow: commands end with EINTR, are asked again, and every buffer is queued once', async function () {
    node = await CuseNode.make(this);
    await boot(node.path);
    const capture = await Capture.open(guest);
    await capture.setFormat(64, 32, 'GREY');
    await capture.request(BUFFERS);
    await node.slow(SLOW_MS);
    vm = new PausedVm(guest, seed);
    await capture.start();
    const frames = await stream(capture, 4 * BUFFERS);
    inOrder(frames);
    console.log(`      ${frames.length} frames, ${vm.interrupted} commands ended with EINTR`);
    assert.ok(vm.interrupted > PAUSES / 10, `${vm.interrupted} commands ended with EINTR`);
    nobodyComplains();
    await node.heal();
    await capture.stop();
    await capture.close();
  });

  describe('a decoder, whose pictures are those of a native run,', () => {
    let stream: Buffer[];
    let native: Buffer;
    let deviceCaps: number;

    before(function () {
      provide(this, VICODEC);
      const [width, height] = [320, 192];
      const raw = Buffer.concat(movingPicture(width, height, FRAMES));
      const encoded = encodeNatively(nodeNamed('stateful-encoder'), { width, height }, raw);
      native = decodeNatively(nodeNamed('stateful-decoder'), encoded);
      stream = fwhtFrames(encoded);
    });
    beforeEach(async () => {
      await boot(nodeNamed('stateful-decoder'), '--shared-pages');
      ({ deviceCaps } = await guest.machine.readConfig());
      vm = new PausedVm(guest, seed);
    });
    const decodes = async () => {
      const sizeimage = Math.max(...stream.map(({ length }) => length));
      const output = { fourcc: 'FWHT', ...fwhtSize(stream[0]!), sizeimage };
      const decoder = await Codec.open(guest.driver, deviceCaps, { output, memory: 'userptr', ...PATIENT });
      await decoder.start();
      const pictures = await collect(decoder, stream);
      assert.ok(Buffer.concat(pictures).equals(native), `after ${vm.pauses} pauses`);
      await decoder.release();
    };

    it('from STREAMON to its drain, at random moments', async () => {
      let over = false;
      const pausing = vm.pause(PAUSES, CODEC_LONGEST_MS).then(() => {
        over = true;
      });
      let runs = 0;
      for (; !over; runs++) await decodes();
      await pausing;
      console.log(`      ${runs} runs, ${vm.interrupted} commands ended with EINTR`);
      nobodyComplains();
    });

    for (const held of ['enter', 'exit'] as const)
      it(`within each STREAMON, ${whereHeld[held]}: the driver is asked once, and the next try has its answer`, async () => {
        const asked: string[] = [];
        vm.aim = (request) =>
          ioctlOf(request) === Ioctl.STREAMON ? slowed(bridge.program.pid, held, asked) : null;
        await decodes();
        assert.deepEqual([vm.pauses, vm.interrupted], [2, 2]);
        const streamOns = asked.filter((name) => name === 'VIDIOC_STREAMON');
        assert.equal(streamOns.length, 2, `${asked}`);
        assert.deepEqual(guest.driver.complaints, []);
      });
  });
});

/** The VIDIOC number of a command; 0: it is no ioctl. */
function ioctlOf(request: Buffer): number {
  return request.readUInt32LE(0) === Command.IOCTL ? request.readUInt32LE(12) : 0;
}

/** Slows down the ioctls of the lanes until the returned function is called, which adds their names to `asked`. */
async function slowed(pid: number, held: Held, asked: string[]): Promise<() => Promise<void>> {
  const lanes = await SlowedLanes.slow(pid, held, HELD_MS);
  return async () => void asked.push(...(await lanes.heal()));
}
