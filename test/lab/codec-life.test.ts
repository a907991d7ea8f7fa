/**
 * The life of a stateful codec's session through the bridge: drained, restarted, moved to another place of the stream.
 */
import assert from 'node:assert/strict';
import { Codec } from '../../src/client/codec.js';
import { backings, collect, deviceCaps, openDecoder, openEncoder } from './support/codec-session.js';
import { fwhtFrames, planesOf } from './support/fwht-stream.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { movingPicture } from './support/moving-picture.js';
import { onStage, type Stage } from './support/stage.js';
import { decodeNatively, encodeNatively } from './support/v4l2-ctl-codec.js';

const MODULES = ['vicodec multiplanar=0', 'vim2m'];
const SIZE = { width: 640, height: 368 };
const OTHER = { width: 720, height: 480 };
/** Frames from one key frame to the next: vicodec's default. */
const GOP = 10;

interface Stream {
  readonly frames: Buffer[];
  readonly decoded: Buffer[];
}

function streamOf(size: typeof SIZE, count: number, seed: number): Stream {
  const raw = movingPicture(size.width, size.height, count, seed);
  const encoded = encodeNatively(nodeNamed('stateful-encoder'), size, Buffer.concat(raw));
  const decoded = decodeNatively(nodeNamed('stateful-decoder'), encoded);
  const length = raw[0]!.length;
  const pictures = raw.map((_, n) => decoded.subarray(n * length, (n + 1) * length));
  return { frames: fwhtFrames(encoded), decoded: pictures };
}

function assertSame(got: readonly Buffer[], wanted: readonly Buffer[]): void {
  assert.equal(got.length, wanted.length, 'as many frames');
  for (const [n, frame] of got.entries()) assert.ok(frame.equals(wanted[n]!), `frame ${n}`);
}

for (const [name, options] of Object.entries(backings))
  describe(`lab: the life of a codec's session (${name})`, function () {
    this.timeout(120_000);
    let stream: Stream;
    let other: Stream;

    before(function () {
      provide(this, ...MODULES);
      stream = streamOf(SIZE, 2 * GOP, 1);
      other = streamOf(OTHER, 4, 2);
    });
    after(() => unload(...MODULES));

    /** A started decoder with buffers that are large enough for both streams. */
    async function withDecoder(play: (decoder: Codec, stage: Stage) => Promise<void>): Promise<void> {
      await onStage(nodeNamed('stateful-decoder'), options, async (stage) => {
        const all = [...stream.frames, ...other.frames];
        const decoder = await openDecoder(stage, await deviceCaps(stage), all);
        await decoder.start();
        await play(decoder, stage);
        await decoder.release();
      });
    }

    it('goes on after a drain by STREAMOFF and STREAMON', () =>
      withDecoder(async (decoder) => {
        assertSame(await collect(decoder, stream.frames.slice(0, GOP)), stream.decoded.slice(0, GOP));
        await decoder.restart('stream');
        assertSame(await collect(decoder, stream.frames.slice(GOP)), stream.decoded.slice(GOP));
        assert.equal(decoder.ends, 2);
      }));

    it('drains what is empty: nothing but LAST and EOS', () =>
      withDecoder(async (decoder) => {
        await collect(decoder, stream.frames.slice(0, 2));
        await decoder.restart('stream');
        assertSame(await collect(decoder, []), []);
        assert.equal(decoder.ends, 2);
      }));

    it('seeks in mid-stream, and into a stream of another size', () =>
      withDecoder(async (decoder) => {
        let seen = 0;
        for await (const { planes } of decoder.run(planesOf(stream.frames))) {
          assert.ok(Buffer.concat(planes).equals(stream.decoded[seen]!));
          if (++seen === 3) break;
        }
        await decoder.seek();
        assertSame(await collect(decoder, stream.frames.slice(GOP)), stream.decoded.slice(GOP));
        await decoder.seek();
        assertSame(await collect(decoder, other.frames), other.decoded);
        assert.deepEqual(
          decoder.resolutions.map(({ format }) => format.width),
          [SIZE.width, OTHER.width],
        );
      }));

    it('encodes on after a drain', () =>
      onStage(nodeNamed('stateful-encoder'), options, async (stage) => {
        const encoder = await openEncoder(stage, await deviceCaps(stage), SIZE);
        await encoder.start();
        const raw = movingPicture(SIZE.width, SIZE.height, GOP, 1);
        assertSame(await collect(encoder, raw), stream.frames.slice(0, GOP));
        await encoder.restart();
        assert.equal((await collect(encoder, raw)).length, GOP);
        assert.equal(encoder.ends, 2);
        await encoder.release();
      }));

    it('gives as many frames as it takes where there is no drain: vim2m', () =>
      onStage(nodeNamed('vim2m'), options, async ({ driver, frontEnd }) => {
        const { deviceCaps: caps } = await frontEnd.readConfig();
        const output = { fourcc: 'RGB3', width: 320, height: 240 };
        const converter = await Codec.open(driver, caps, { output, capture: { fourcc: 'RGB3' } });
        assert.equal(converter.role, 'converter');
        await converter.start();
        const frames = Array.from({ length: 9 }, (_, n) => Buffer.alloc(320 * 240 * 3, 10 + n));
        assertSame(await collect(converter, frames), frames);
        await converter.release();
      }));
  });
