/** A short run of what `npm run endurance` does for long: sessions leave nothing behind, and no frame is lost. */
import { Endurance } from '../endurance/endurance.js';
import { endureCamera, endureConverter } from '../endurance/frames.js';
import { endureSessions } from '../endurance/sessions.js';
import { nodeNamed, provide, unload } from './support/kernel-modules.js';

const VIVID = 'vivid n_devs=1 node_types=0x1';
const VIM2M = 'vim2m';
const CAMERA = 'vivid-000-vid-cap';

describe('lab: endurance', function () {
  this.timeout(180_000);
  before(function () {
    provide(this, VIVID, VIM2M);
  });
  after(() => unload(VIVID, VIM2M));

  for (const [name, node, run, count] of [
    ['40 sessions, opened, streamed and closed: everything as before', CAMERA, endureSessions, 40],
    ['200 frames of a camera: each buffer once, in its order', CAMERA, endureCamera, 200],
    ['100 frames through a converter: none lost, none twice, in order', VIM2M, endureConverter, 100],
  ] as const)
    it(name, async () => {
      const endurance = await Endurance.serve([nodeNamed(node)]);
      try {
        console.log(`      ${await run(endurance, count)}`);
      } finally {
        await endurance.close();
      }
    });
});
