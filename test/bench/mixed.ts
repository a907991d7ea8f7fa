/**
 * `node dist/test/bench/mixed.js [FRAMES] [SEED]`: a stream on the fake node, whose frames are as fast as they go, with
 * everything else that a guest does in between: commands that threads run and commands that the loop runs, mappings that
 * come and go, pauses of the VMM, STREAMOFF and STREAMON. No frame may be missing, come twice, or show another's bytes.
 */
import assert from 'node:assert/strict';
import { controlIoctl } from '../../src/client/control-ioctls.js';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, fmtdesc, format, streamparm } from '../../src/v4l2/layout.js';
import { GuestQueue } from '../lab/support/guest-queue.js';
import { BackEnd } from './back-end.js';
import { serve } from './bench.js';
import { FakeDevice } from './fake-device.js';
import { Numbers } from './numbers.js';
import { buildParts } from './parts.js';

const [WIDTH, HEIGHT] = [640, 480];
const BUFFERS = 8;
const BRIGHTNESS = 0x0098_0900;
const type = BufferType.VIDEO_CAPTURE;
/** Frames between two other commands, at most. */
const APART = 40;

class MixedStream {
  /** What was done between frames, and how often. */
  readonly done: Record<string, number> = {};
  #queue!: GuestQueue;
  #expected = 0;

  constructor(
    private readonly vmm: Vmm,
    private readonly driver: GuestDriver,
    private readonly numbers: Numbers,
  ) {}

  async run(frames: number): Promise<void> {
    const session = await this.driver.open();
    this.#queue = new GuestQueue(this.driver, session, type);
    await this.#queue.setFormat('YUYV', WIDTH, HEIGHT);
    await this.#queue.start(BUFFERS);
    const names = Object.keys(this.#others);
    for (let frame = 0, next = 0; frame < frames; frame++) {
      await this.#frame();
      if (frame < next) continue;
      next = frame + 1 + this.numbers.below(APART);
      const name = names[this.numbers.below(names.length)]!;
      await this.#others[name]!();
      this.done[name] = (this.done[name] ?? 0) + 1;
    }
    await this.#queue.off();
    await this.#queue.release();
    await this.driver.close(session);
  }

  async #frame(): Promise<void> {
    const event = await this.#queue.next();
    const { index, sequence } = event.buffer;
    assert.equal(sequence, this.#expected++, 'a frame is missing, or comes twice');
    const mapped = this.#queue.mappings.has(index);
    // The fake writes the number of the frame into its first bytes.
    if (mapped)
      assert.equal(Buffer.from(this.#queue.bytes(event)[0]!).readUInt32LE(), sequence & 0xffff_ffff);
    await this.#queue.queue(index);
  }

  /** By name. */
  readonly #others: Readonly<Record<string, () => Promise<unknown>>> = {
    G_PARM: () => this.driver.call(this.#queue.session, Ioctl.G_PARM, streamparm, { type }),
    QUERYBUF: () => this.#queue.query(this.numbers.below(BUFFERS)),
    G_INPUT: () => this.#queue.ioctl(Ioctl.G_INPUT, Buffer.alloc(4)),
    G_FMT: () => this.#queue.ioctl(Ioctl.G_FMT, encoded(format, { type })),
    ENUM_FMT: () => this.#queue.ioctl(Ioctl.ENUM_FMT, encoded(fmtdesc, { type })),
    G_EXT_CTRLS: async () => {
      const { errno } = await controlIoctl(this.driver, this.#queue.session, Ioctl.G_EXT_CTRLS, [
        { id: BRIGHTNESS },
      ]);
      assert.equal(errno, 0);
    },
    'munmap, mmap': async () => {
      const index = this.numbers.below(BUFFERS);
      await this.#queue.unmap(index);
      await this.#queue.map(index);
    },
    'OPEN, G_FMT, CLOSE': async () => {
      const other = await this.driver.open();
      await this.driver.ioctl(other, Ioctl.G_FMT, encoded(format, { type }));
      await this.driver.close(other);
    },
    pause: async () => {
      await this.vmm.stop();
      await this.vmm.start();
    },
    'STREAMOFF, STREAMON': async () => {
      await this.#queue.off();
      for (let index = 0; index < BUFFERS; index++) await this.#queue.queue(index);
      await this.#queue.on();
      this.#expected = 0;
    },
  };
}

/** Returns what was done in between, and how often. Throws if anything is wrong. */
export async function mixedStream(frames: number, seed: number): Promise<Readonly<Record<string, number>>> {
  buildParts();
  const backEnd = await BackEnd.start('ours', new FakeDevice(), '0-1', serve);
  try {
    const vmm = await Vmm.connect(backEnd.socket, { vmm: 'qemu' });
    const driver = await GuestDriver.probe(vmm, { timeout: 20_000 });
    try {
      const stream = new MixedStream(vmm, driver, new Numbers(seed));
      await stream.run(frames);
      assert.deepEqual(driver.complaints, []);
      return stream.done;
    } finally {
      driver.remove();
      vmm.close();
    }
  } finally {
    await backEnd.stop();
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const [frames = '200000', seed = String(Date.now() % 1_000_000)] = process.argv.slice(2);
  const began = performance.now();
  const done = await mixedStream(Number(frames), Number(seed));
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  console.log(`${frames} frames in ${seconds} s, seed ${seed}, no gap and no wrong frame; in between:`, done);
}
