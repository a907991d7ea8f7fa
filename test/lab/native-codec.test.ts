/**
 * The results of a native program on vicodec. These are tests of the native tools, with which other tests compare the
 * bridge.
 */
import assert from 'node:assert/strict';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';
import { codedSize, decode, encodedPattern, type Picture, visible } from './support/native-codec.js';
import { decodeWithRequests } from './support/native-stateless.js';

const SIZES = [
  [640, 360],
  [800, 600],
  [1280, 720],
] as const;

for (const multiplanar of [false, true]) {
  const vicodec = `vicodec multiplanar=${Number(multiplanar)}`;

  describe(`lab: a native program on vicodec, ${multiplanar ? 'multi' : 'single'}-planar`, function () {
    this.timeout(60_000);
    before(function () {
      provide(this, vicodec);
    });
    after(() => unload(vicodec));

    const decoded = (frames: readonly { readonly bytes: Buffer }[]): Promise<Picture[]> =>
      decode(
        nodeNamed('stateful-decoder'),
        multiplanar,
        frames.map(({ bytes }) => bytes),
      );

    for (const [width, height] of SIZES) {
      it(`decodes ${width} x ${height} with requests as the stateful decoder does`, async () => {
        const frames = await encodedPattern(multiplanar, width, height, 12);
        assert.ok(frames[0]!.isIntra && frames.some(({ isIntra }) => !isIntra));
        const stateful = await decoded(frames);
        const stateless = await decodeWithRequests(nodeNamed('stateless-decoder'), multiplanar, frames);
        assert.equal(stateful.length, frames.length);
        assert.equal(stateless.length, frames.length);
        let before: Buffer = Buffer.alloc(0);
        for (const [number, picture] of stateful.entries()) {
          assert.deepEqual([picture.width, picture.height], [width, height].map(codedSize));
          const shown = visible(picture, width, height);
          assert.ok(shown.equals(visible(stateless[number]!, width, height)), `picture ${number} differs`);
          assert.ok(!shown.equals(before), 'it stands still');
          before = shown;
        }
      });
    }

    it('follows a change of the size in the middle of a stream', async () => {
      const parts = [];
      const alone: Buffer[] = [];
      for (const [width, height] of SIZES) {
        const frames = await encodedPattern(multiplanar, width, height, 5);
        parts.push(...frames);
        alone.push(...(await decoded(frames)).map((picture) => visible(picture, width, height)));
      }
      const together = await decoded(parts);
      assert.equal(together.length, alone.length);
      for (const [number, picture] of together.entries()) {
        const [width, height] = SIZES[Math.floor(number / 5)]!;
        assert.ok(visible(picture, width, height).equals(alone[number]!), `picture ${number} differs`);
      }
    });
  });
}
