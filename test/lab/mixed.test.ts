/**
 * Long streams of a camera and through a decoder, with everything else that a guest does in between. Threads and the loop
 * share the work, and no frame may be lost, come twice or be wrong. VMB_MIXED_FRAMES: frames of each stream.
 */
import assert from 'node:assert/strict';
import type { Codec } from '../../src/client/codec.js';
import { encoded } from '../../src/struct.js';
import { Ioctl } from '../../src/v4l2/ioctls.js';
import { BufferType, format } from '../../src/v4l2/layout.js';
import { Numbers } from '../bench/numbers.js';
import { type Content, MixedStream } from '../support/mixed-stream.js';
import { backings, deviceCaps, openDecoder } from './support/codec-session.js';
import { fwhtFrames } from './support/fwht-stream.js';
import { type DqbufEvent, GuestQueue } from './support/guest-queue.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { isLeaping } from './support/leaping.js';
import { movingPicture } from './support/moving-picture.js';
import { onStage, type Stage } from './support/stage.js';
import { decodeNatively, encodeNatively } from './support/v4l2-ctl-codec.js';
import { MovingBars, showMovingBars } from './support/vivid.js';

const VIVID = 'vivid n_devs=2 node_types=0x1,0x1 multiplanar=1,2';
const VICODEC = 'vicodec';
const FRAMES = Number(process.env.VMB_MIXED_FRAMES ?? 300);
const SEED = Number(process.env.VMB_MIXED_SEED ?? Date.now() % 1_000_000);
const [WIDTH, HEIGHT] = [320, 180];
/**
 * Frames a second. In emulation some of what is done between two frames takes longer than the queued buffers last at 50,
 * and then vivid itself leaves frames out, for a native program as well.
 */
const RATE = isLeaping ? 50 : 5;
const { VIDEO_CAPTURE, VIDEO_CAPTURE_MPLANE } = BufferType;

/** Bars that move by the same distance in each frame that vivid makes. */
class SteadyBars implements Content {
  readonly #bars: MovingBars;
  #shift: number | undefined;
  #step: number | undefined;
  #sequence = 0;

  constructor(fourcc: string) {
    this.#bars = new MovingBars(fourcc, WIDTH, HEIGHT);
  }

  begin(): void {
    this.#shift = undefined;
  }

  look({ buffer: { sequence } }: DqbufEvent, planes: readonly Uint8Array[]): void {
    const shift = this.#bars.shiftOf(planes, `frame ${sequence}`);
    if (this.#shift !== undefined) {
      const step = (shift - this.#shift + WIDTH) % WIDTH;
      this.#step ??= step;
      assert.equal(step, this.#step, `frame ${sequence} after ${this.#sequence}`);
      assert.equal(sequence, this.#sequence + 1, 'a frame is missing, or comes twice');
    }
    this.#shift = shift;
    this.#sequence = sequence;
  }
}

/** Between two pictures of a decoder. */
const between: readonly ((stage: Stage, codec: Codec) => Promise<unknown>)[] = [
  async ({ frontEnd }) => {
    await frontEnd.stop();
    await frontEnd.start();
  },
  ({ driver }, { sessionId }) =>
    driver.ioctl(sessionId, Ioctl.G_FMT, encoded(format, { type: VIDEO_CAPTURE })),
  async ({ driver }) => driver.close(await driver.open()),
];

/** Decodes the stream again and again, until `frames` pictures have come. Returns how often something was done in between. */
async function decode(stage: Stage, stream: readonly Buffer[], pictures: readonly Buffer[]): Promise<number> {
  const numbers = new Numbers(SEED);
  const decoder = await openDecoder(stage, await deviceCaps(stage), stream);
  await decoder.start();
  let [seen, next, others] = [0, 0, 0];
  const source = function* (): Generator<Buffer[], void, undefined> {
    for (let n = 0; n < FRAMES; n++) yield [stream[n % stream.length]!];
  };
  for await (const { planes } of decoder.run(source())) {
    assert.ok(
      Buffer.concat(planes).equals(pictures[seen % pictures.length]!),
      `picture ${seen}, seed ${SEED}`,
    );
    if (++seen < next) continue;
    next = seen + 1 + numbers.below(20);
    await between[numbers.below(between.length)]!(stage, decoder);
    others++;
  }
  assert.deepEqual([decoder.framesIn, seen, decoder.ends], [FRAMES, FRAMES, 1]);
  await decoder.release();
  return others;
}

describe('lab: a long stream with everything else in between', function () {
  this.timeout(60_000 + (1000 / RATE) * FRAMES);

  describe('of a camera', () => {
    before(async function () {
      provide(this, VIVID);
      for (const node of ['vivid-000-vid-cap', 'vivid-001-vid-cap']) await showMovingBars(nodeNamed(node));
    });
    after(() => unload(VIVID));

    for (const [node, type, fourcc] of [
      ['vivid-000-vid-cap', VIDEO_CAPTURE, 'RGB3'],
      ['vivid-001-vid-cap', VIDEO_CAPTURE_MPLANE, 'NM16'],
    ] as const)
      for (const [name, options] of Object.entries(backings))
        it(`${fourcc}, ${name}: no frame is missing, comes twice or is wrong`, () =>
          onStage(nodeNamed(node), options, async ({ driver, frontEnd }) => {
            const queue = new GuestQueue(driver, await driver.open(), type);
            await queue.setFormat(fourcc, WIDTH, HEIGHT);
            await queue.setRate(RATE);
            const stream = new MixedStream(frontEnd, queue, new SteadyBars(fourcc), new Numbers(SEED));
            await stream.run(FRAMES);
            await stream.end();
            await driver.close(queue.session);
            console.log(`      seed ${SEED}: ${FRAMES} frames; ${JSON.stringify(stream.done)}`);
          }));
  });

  describe('through a decoder', () => {
    before(function () {
      provide(this, VICODEC);
    });
    after(() => unload(VICODEC));

    for (const [name, options] of Object.entries(backings))
      it(`${name}: every picture is the one of a native run`, () => {
        const size = { width: 640, height: 368 };
        const raw = movingPicture(size.width, size.height, 12);
        const stream = encodeNatively(nodeNamed('stateful-encoder'), size, Buffer.concat(raw));
        const decoded = decodeNatively(nodeNamed('stateful-decoder'), stream);
        const bytes = decoded.length / raw.length;
        const pictures = raw.map((_, n) => decoded.subarray(n * bytes, (n + 1) * bytes));
        return onStage(nodeNamed('stateful-decoder'), options, async (stage) => {
          const others = await decode(stage, fwhtFrames(stream), pictures);
          console.log(`      seed ${SEED}: ${FRAMES} pictures; ${others} other things in between`);
        });
      });
  });
});
