/**
 * Faults in any order: a camera and a decoder are served by one daemon, and what may happen to a device, a guest and a
 * VMM happens to them at random. After each fault both work again; at the end the daemon has nothing more than before.
 * VMB_SHUFFLE_FAULTS and VMB_SHUFFLE_SEED choose another number of faults, and repeat a run.
 */

import { compare } from '../endurance/endurance.js';
import { HoldingsDaemon } from '../endurance/holdings-daemon.js';
import { Random } from '../fuzz/random.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { CAMERA_LINK, ShuffledCamera } from './support/shuffled-camera.js';
import { ShuffledDecoder } from './support/shuffled-decoder.js';
import { ShuffledGuest } from './support/shuffled-guest.js';

const FAULTS = Number(process.env.VMB_SHUFFLE_FAULTS ?? 30);
const SEED = Number(process.env.VMB_SHUFFLE_SEED ?? Date.now() % 1_000_000);

interface Scene {
  readonly context: Mocha.Context;
  readonly camera: ShuffledCamera;
  readonly decoder: ShuffledDecoder;
  /** The guest that uses the camera, and the one that uses the decoder. */
  readonly viewer: ShuffledGuest;
  readonly player: ShuffledGuest;
}

type Fault = (scene: Scene) => Promise<void>;

/** What happens to the camera while it streams. Each ends the session, in its own way. */
const cameraFaults: Readonly<Record<string, Fault>> = {
  'unplugged, plugged in again': async ({ camera }) => {
    await camera.unplug();
    await camera.leave();
    await camera.replug();
  },
  'unplugged, plugged in while the program still has it open': async ({ camera }) => {
    await camera.unplug();
    await camera.replug();
    await camera.leave();
  },
  'plugged in another port': async ({ camera }) => {
    await camera.moveToOtherPort();
    await camera.leave();
  },
  'camera unbound and bound': ({ camera }) => camera.rebind(),
  'uvcvideo loaded anew': ({ camera }) => camera.reloadDriver(),
  'no frames for a while': async ({ camera }) => {
    await camera.fallSilent();
    await camera.leave();
  },
  'short frames': async ({ camera }) => {
    await camera.damage('short-frames');
    await camera.leave();
  },
  'damaged frames': async ({ camera }) => {
    await camera.damage('damaged-frames');
    await camera.leave();
  },
  'a control that takes 300 ms': async ({ camera }) => {
    await camera.slowControl();
    await camera.leave();
  },
  'a control that hangs': async ({ camera }) => {
    await camera.hungControl();
    await camera.leave();
  },
  'guest reset with a stream': ({ viewer }) => viewer.reset(),
  'VMM killed with a stream': ({ viewer }) => viewer.restart(),
};

/** What happens to the decoder while it decodes. */
const decoderFaults: Readonly<Record<string, Fault>> = {
  'decoder unbound and bound': ({ decoder, player }) => decoder.rebind(player),
  'vicodec loaded anew': ({ decoder, context, player }) => decoder.reloadDriver(context, player),
  'a seek': async ({ decoder, player }) => {
    await decoder.seek();
    await decoder.leave(player);
  },
  'a program that ends': ({ decoder, player }) => decoder.leave(player),
  'guest reset while decoding': ({ player }) => player.reset(),
  'VMM killed while decoding': ({ player }) => player.restart(),
};

async function strike(scene: Scene, name: string): Promise<void> {
  const { camera, decoder, viewer, player } = scene;
  const onCamera = cameraFaults[name];
  await (onCamera ? camera.begin(viewer) : decoder.begin(player));
  await (onCamera ?? decoderFaults[name]!)(scene);
  await camera.prove(viewer);
  await decoder.prove(player);
}

describe('lab: faults in any order', function () {
  this.timeout(3_000_000);
  let scene: Scene;
  let daemon: HoldingsDaemon;
  const names = [...Object.keys(cameraFaults), ...Object.keys(decoderFaults)];

  before(async function () {
    const camera = await ShuffledCamera.plugIn(this);
    const decoder = ShuffledDecoder.load(this);
    daemon = await HoldingsDaemon.serve([CAMERA_LINK, decoder.node]);
    const [viewer, player] = await Promise.all(daemon.sockets.map((socket) => ShuffledGuest.enter(socket)));
    scene = { context: this, camera, decoder, viewer: viewer!, player: player! };
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(async () => {
    scene?.viewer.leave();
    scene?.player.leave();
    await daemon?.end();
    await scene?.camera.end();
    scene?.decoder.end();
  });

  it(`${FAULTS} faults of ${names.length} kinds: both devices work after each, and nothing is left behind`, async () => {
    for (const name of names) await strike(scene, name);
    const before = await daemon.settled();
    const random = new Random(SEED);
    const counts = new Map<string, number>(names.map((name) => [name, 0]));
    for (let n = 0; n < FAULTS; n++) {
      const name = names[random.below(names.length)]!;
      await strike(scene, name).catch((error: unknown) => {
        throw new Error(`fault ${n} of seed ${SEED}: ${name}`, { cause: error });
      });
      counts.set(name, counts.get(name)! + 1);
    }
    compare(before, await daemon.settled(before));
    for (const guest of [scene.viewer, scene.player]) guest.verify();
    console.log(`      seed ${SEED}: ${[...counts].map(([name, count]) => `${count} ${name}`).join('; ')}`);
  });
});
