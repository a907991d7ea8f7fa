/** 32 decoders at once on one node: each has its own buffers, events and end. */
import assert from 'node:assert/strict';
import type { Codec } from '../../src/client/codec.js';
import { backings, collect, deviceCaps, openDecoder } from './support/codec-session.js';
import { fwhtFrames, planesOf } from './support/fwht-stream.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { movingPicture } from './support/moving-picture.js';
import { Stage } from './support/stage.js';
import { decodeNatively, encodeNatively } from './support/v4l2-ctl-codec.js';

const VICODEC = 'vicodec multiplanar=0';
const SESSIONS = 32;
/** Number of different streams. Neighbouring sessions have different ones. */
const STREAMS = 8;
const FRAMES = 5;
const SIZE = { width: 640, height: 368 };
const SEED = 20_250_704;
/** These sessions are closed with everything in flight, after that many frames. */
const ABANDONED: ReadonlySet<number> = new Set([3, 11, 18, 30]);
const ABANDONED_AFTER = 2;

interface Stream {
  readonly frames: readonly Buffer[];
  readonly decoded: Buffer;
}

/**
 * A shuffle that is the same in every run: a linear congruential generator (Numerical Recipes) and Fisher and Yates.
 */
function shuffled(count: number, seed: number): number[] {
  const order = Array.from({ length: count }, (_, i) => i);
  let state = seed >>> 0;
  for (let i = count - 1; i > 0; i--) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

for (const [name, options] of Object.entries(backings))
  describe(`lab: many decoders on one node (${name})`, function () {
    this.timeout(120_000);
    let streams: Stream[];
    let stage: Stage;

    before(async function () {
      provide(this, VICODEC);
      streams = Array.from({ length: STREAMS }, (_, i) => {
        const raw = Buffer.concat(movingPicture(SIZE.width, SIZE.height, FRAMES, 1 + i));
        const encoded = encodeNatively(nodeNamed('stateful-encoder'), SIZE, raw);
        return {
          frames: fwhtFrames(encoded),
          decoded: decodeNatively(nodeNamed('stateful-decoder'), encoded),
        };
      });
      assert.equal(new Set(streams.map(({ decoded }) => decoded.toString('latin1'))).size, STREAMS);
      stage = await Stage.open(nodeNamed('stateful-decoder'), {
        ...options,
        serve: { ...options.serve, sharedMemorySize: 1 << 30 },
      });
    });
    after(async () => {
      await stage?.close();
      unload(VICODEC);
    });

    /** Decodes its own stream completely, or closes in the middle. */
    async function decode(decoder: Codec, n: number): Promise<void> {
      const { frames, decoded } = streams[n % STREAMS]!;
      await decoder.start();
      if (!ABANDONED.has(n)) {
        const got = await collect(decoder, frames);
        assert.ok(Buffer.concat(got).equals(decoded), `decoder ${n} is bit-exact`);
        assert.deepEqual([decoder.ends, decoder.resolutions.length], [1, 1], `events of decoder ${n}`);
        return;
      }
      let seen = 0;
      for await (const _ of decoder.run(planesOf(frames))) if (++seen === ABANDONED_AFTER) break;
      await decoder.close();
    }

    it(`${SESSIONS} are opened, drained and closed in random order, some in mid-stream`, async () => {
      const caps = await deviceCaps(stage);
      const decoders: Codec[] = [];
      for (const n of shuffled(SESSIONS, SEED))
        decoders[n] = await openDecoder(stage, caps, streams[n % STREAMS]!.frames);
      assert.equal(new Set(decoders.map(({ sessionId }) => sessionId)).size, SESSIONS);
      const begun = performance.now();
      await Promise.all(decoders.map(decode));
      const took = (performance.now() - begun) / 1000;
      for (const n of shuffled(SESSIONS, SEED + 1)) if (!ABANDONED.has(n)) await decoders[n]!.release();
      console.log(`      ${SESSIONS} decoders in ${took.toFixed(1)} s`);
      stage.verify();
    });

    it('the node is as good as new afterwards', async () => {
      const decoder = await openDecoder(stage, await deviceCaps(stage), streams[0]!.frames);
      await decode(decoder, 0);
      await decoder.release();
      stage.verify();
    });
  });
