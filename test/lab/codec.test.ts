/** A stateful encoder and decoder through the bridge: every byte is the same as natively. */
import assert from 'node:assert/strict';
import { backings, collect, deviceCaps, openDecoder, openEncoder } from './support/codec-session.js';
import { fwhtFrames } from './support/fwht-stream.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { movingPicture } from './support/moving-picture.js';
import { onStage } from './support/stage.js';
import { decodeNatively, encodeNatively, type PictureSize } from './support/v4l2-ctl-codec.js';

const FRAMES = 12;
const sizes: readonly PictureSize[] = [
  { width: 640, height: 368 },
  { width: 720, height: 480 },
  { width: 1024, height: 576 },
];

interface Reference extends PictureSize {
  readonly raw: readonly Buffer[];
  readonly encoded: Buffer;
  readonly decoded: Buffer;
}

for (const multiplanar of [0, 1]) {
  const VICODEC = `vicodec multiplanar=${multiplanar}`;
  describe(`lab: a stateful codec, ${multiplanar ? 'multi-planar' : 'single-planar'}`, function () {
    this.timeout(120_000);
    const references: Reference[] = [];

    before(function () {
      provide(this, VICODEC);
      for (const size of sizes) {
        const raw = movingPicture(size.width, size.height, FRAMES);
        const encoded = encodeNatively(nodeNamed('stateful-encoder'), size, Buffer.concat(raw));
        const decoded = decodeNatively(nodeNamed('stateful-decoder'), encoded);
        assert.equal(decoded.length, raw[0]!.length * FRAMES, 'v4l2-ctl has decoded everything');
        references.push({ ...size, raw, encoded, decoded });
      }
    });
    after(() => unload(VICODEC));

    for (const [name, options] of Object.entries(backings)) {
      it(`encodes as natively (${name})`, () =>
        onStage(nodeNamed('stateful-encoder'), options, async (stage) => {
          for (const { raw, encoded, ...size } of references) {
            const encoder = await openEncoder(stage, await deviceCaps(stage), size);
            assert.equal(encoder.role, 'encoder');
            await encoder.start();
            const frames = await collect(encoder, raw);
            assert.deepEqual([encoder.framesIn, frames.length, encoder.ends], [FRAMES, FRAMES, 1]);
            assert.ok(Buffer.concat(frames).equals(encoded), `${size.width}x${size.height}`);
            await encoder.release();
          }
        }));

      it(`decodes as natively (${name})`, () =>
        onStage(nodeNamed('stateful-decoder'), options, async (stage) => {
          for (const { encoded, decoded, ...size } of references) {
            const stream = fwhtFrames(encoded);
            const decoder = await openDecoder(stage, await deviceCaps(stage), stream);
            assert.equal(decoder.role, 'decoder');
            await decoder.start();
            const frames = await collect(decoder, stream);
            assert.deepEqual([decoder.framesIn, frames.length, decoder.ends], [FRAMES, FRAMES, 1]);
            assert.ok(Buffer.concat(frames).equals(decoded), `${size.width}x${size.height}`);
            const [only] = decoder.resolutions;
            assert.deepEqual([only!.format.width, only!.format.height], [size.width, size.height]);
            await decoder.release();
          }
        }));

      it(`decodes through changes of the resolution (${name})`, () =>
        onStage(nodeNamed('stateful-decoder'), options, async (stage) => {
          const parts = [references[1]!, references[0]!, references[2]!];
          const stream = Buffer.concat(parts.map(({ encoded }) => encoded));
          const wanted = Buffer.concat(parts.map(({ decoded }) => decoded));
          assert.ok(
            decodeNatively(nodeNamed('stateful-decoder'), stream).equals(wanted),
            'so it is natively',
          );
          const cut = fwhtFrames(stream);
          const decoder = await openDecoder(stage, await deviceCaps(stage), cut);
          await decoder.start();
          const frames = await collect(decoder, cut);
          assert.ok(Buffer.concat(frames).equals(wanted));
          assert.deepEqual(
            decoder.resolutions.map(({ format, at }) => [format.width, format.height, at]),
            parts.map(({ width, height }, i) => [width, height, i * FRAMES]),
          );
          await decoder.release();
        }));
    }
  });
}
