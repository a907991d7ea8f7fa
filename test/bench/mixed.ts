/**
 * `node dist/test/bench/mixed.js [FRAMES] [SEED]`: mixed streams (test/support/mixed-stream.ts) on the fake node, whose
 * frames are as fast as they go, and a tuner that is slow. Each stream ends in another way: by the guest, by a reset, or
 * because the VMM is gone.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../../src/client/driver-error.js';
import { GuestDriver } from '../../src/client/guest-driver.js';
import { Vmm } from '../../src/client/vmm.js';
import { Errno } from '../../src/errno.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType } from '../../src/v4l2/layout.js';
import { type DqbufEvent, GuestQueue } from '../lab/support/guest-queue.js';
import { type Content, MixedStream, type Others } from '../support/mixed-stream.js';
import { BackEnd } from './back-end.js';
import { serve } from './bench.js';
import { FakeDevice } from './fake-device.js';
import { Numbers } from './numbers.js';
import { buildParts } from './parts.js';

/** Frames of one stream. */
const STREAM = 2500;
/** Milliseconds that the tuner takes. */
const SLOW = 20;
/** Bytes of struct v4l2_frequency, and the offset of its frequency. */
const [FREQUENCY, FREQUENCY_AT] = [44, 8];

/** The fake writes the number of the frame into its first bytes. */
class NumberedFrames implements Content {
  #expected = 0;

  begin(): void {
    this.#expected = 0;
  }

  look({ buffer: { sequence } }: DqbufEvent, [picture]: readonly Uint8Array[]): void {
    assert.equal(sequence, this.#expected++, 'a frame is missing, or comes twice');
    assert.equal(Buffer.from(picture!).readUInt32LE(), sequence & 0xffff_ffff);
  }
}

/** A session whose tuner looks for a station, while the stream of another session goes on. */
class SlowTuner {
  #running: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly vmm: Vmm,
    private readonly driver: GuestDriver,
    private readonly session: number,
  ) {}

  readonly others: Others = {
    'slow S_FREQUENCY': () => this.#begin(),
    'slow S_FREQUENCY, pause': async () => {
      await this.#begin();
      await sleep(2);
      await this.vmm.stop();
      await this.vmm.start();
    },
  };

  /** Resolves when the command that was begun last has its answer. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #begin(): Promise<void> {
    await this.#running;
    this.#running = this.#tune();
  }

  /** A program tries again after EINTR. */
  async #tune(): Promise<void> {
    const payload = Buffer.alloc(FREQUENCY);
    payload.writeUInt32LE(SLOW, FREQUENCY_AT);
    for (;;)
      try {
        return void (await this.driver.ioctl(this.session, Ioctl.S_FREQUENCY, payload));
      } catch (error) {
        if (!(error instanceof DriverError) || error.errno !== Errno.EINTR) throw error;
      }
  }
}

class MixedStreams {
  /** What was done, and how often. */
  readonly done: Record<string, number> = {};
  #vmm!: Vmm;
  #driver!: GuestDriver;

  constructor(
    private readonly socket: string,
    private readonly numbers: Numbers,
  ) {}

  async run(frames: number): Promise<void> {
    await this.#connect();
    for (let left = frames; left > 0; left -= STREAM) await this.#stream(Math.min(left, STREAM));
    this.#leave();
  }

  async #stream(frames: number): Promise<void> {
    const queue = new GuestQueue(this.#driver, await this.#driver.open(), BufferType.VIDEO_CAPTURE);
    await queue.setFormat('YUYV', 640, 480);
    const tuner = new SlowTuner(this.#vmm, this.#driver, await this.#driver.open());
    const stream = new MixedStream(this.#vmm, queue, new NumberedFrames(), this.numbers, tuner.others);
    await stream.run(frames);
    await tuner.settled();
    for (const [name, count] of Object.entries(stream.done)) this.#count(name, count);
    const ends = Object.entries(this.#ends);
    const [name, end] = ends[this.numbers.below(ends.length)]!;
    await end(stream, queue.session);
    this.#count(name, 1);
  }

  readonly #ends: Readonly<Record<string, (stream: MixedStream, session: number) => Promise<void>>> = {
    'ended by the guest': async (stream, session) => {
      await stream.end();
      await this.#driver.close(session);
    },
    'ended by a reset': async () => {
      this.#verify();
      this.#driver.remove();
      await this.#vmm.reset();
      await this.#probe();
    },
    'ended with the VMM': async () => {
      this.#leave();
      await this.#connect();
    },
  };

  async #connect(): Promise<void> {
    this.#vmm = await Vmm.connect(this.socket, { vmm: 'qemu' });
    await this.#probe();
  }

  async #probe(): Promise<void> {
    this.#driver = await GuestDriver.probe(this.#vmm, { timeout: 20_000, concurrent: true });
  }

  #leave(): void {
    this.#verify();
    this.#driver.remove();
    this.#vmm.close();
  }

  #verify(): void {
    assert.deepEqual(this.#driver.complaints, []);
    assert.equal(this.#driver.lateAnswers, 0);
  }

  #count(name: string, more: number): void {
    this.done[name] = (this.done[name] ?? 0) + more;
  }
}

/** Returns what was done in between, and how often. Throws if anything is wrong. */
export async function mixedStream(frames: number, seed: number): Promise<Readonly<Record<string, number>>> {
  buildParts();
  const backEnd = await BackEnd.start('ours', new FakeDevice(), '0-1', serve);
  try {
    const streams = new MixedStreams(backEnd.socket, new Numbers(seed));
    await streams.run(frames);
    return streams.done;
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
