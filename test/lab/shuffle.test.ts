/**
 * Faults in any order: a camera, a decoder and a node with a producer are served by one daemon, and what may happen to a
 * device, a producer, a guest and a VMM happens to them at random. After each fault all three work again; at the end the
 * daemon has nothing more than before.
 * VMB_SHUFFLE_FAULTS and VMB_SHUFFLE_SEED choose another number of faults, and repeat a run.
 */

import { compare } from '../endurance/endurance.js';
import { HoldingsDaemon } from '../endurance/holdings-daemon.js';
import { Random } from '../fuzz/random.js';
import { keepJournal, showJournal } from './support/daemon-log.js';
import { CAMERA_LINK, ShuffledCamera } from './support/shuffled-camera.js';
import { ShuffledDecoder } from './support/shuffled-decoder.js';
import { ShuffledGuest } from './support/shuffled-guest.js';
import { ShuffledLoopback } from './support/shuffled-loopback.js';

const FAULTS = Number(process.env.VMB_SHUFFLE_FAULTS ?? 30);
const SEED = Number(process.env.VMB_SHUFFLE_SEED ?? Date.now() % 1_000_000);

interface Scene {
  readonly context: Mocha.Context;
  readonly camera: ShuffledCamera;
  readonly decoder: ShuffledDecoder;
  readonly loopback: ShuffledLoopback;
  /** The guest that uses the camera, the one that uses the decoder, and the one that uses v4l2loopback. */
  readonly viewer: ShuffledGuest;
  readonly player: ShuffledGuest;
  readonly caller: ShuffledGuest;
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

/** What happens to v4l2loopback and its producer while a guest streams. */
const loopbackFaults: Readonly<Record<string, Fault>> = {
  'producer stops and comes back': async ({ loopback }) => {
    await loopback.pauseProducer();
    await loopback.leave();
  },
  'producer killed': async ({ loopback }) => {
    await loopback.killProducer();
    await loopback.leave();
  },
  'producer writes short frames': async ({ loopback }) => {
    await loopback.shortFrames();
    await loopback.leave();
  },
  'producer of another size, while the program has buffers': ({ loopback }) => loopback.resizeInStream(),
  'producer of another size, when the program has none': async ({ loopback }) => {
    await loopback.resizeInSession();
    await loopback.leave();
  },
  'opened without a producer': ({ loopback }) => loopback.openWithoutProducer(),
  'v4l2loopback loaded anew': ({ loopback }) => loopback.reloadDriver(),
  'guest reset with a stream of the producer': ({ caller }) => caller.reset(),
  'VMM killed with a stream of the producer': ({ caller }) => caller.restart(),
  'guest reset without a producer': ({ loopback, caller }) =>
    loopback.renewWithoutProducer(() => caller.reset()),
  'VMM killed without a producer': ({ loopback, caller }) =>
    loopback.renewWithoutProducer(() => caller.restart()),
};

/** How a guest begins to use each device, and the faults that then happen to it. */
const kinds: readonly { readonly begin: Fault; readonly faults: Readonly<Record<string, Fault>> }[] = [
  { begin: ({ camera, viewer }) => camera.begin(viewer), faults: cameraFaults },
  { begin: ({ decoder, player }) => decoder.begin(player), faults: decoderFaults },
  { begin: ({ loopback, caller }) => loopback.begin(caller), faults: loopbackFaults },
];

async function strike(scene: Scene, name: string): Promise<void> {
  const { begin, faults } = kinds.find(({ faults }) => name in faults)!;
  await begin(scene);
  await faults[name]!(scene);
  await scene.camera.prove(scene.viewer);
  await scene.decoder.prove(scene.player);
  await scene.loopback.prove(scene.caller);
}

describe('lab: faults in any order', function () {
  this.timeout(3_000_000);
  let scene: Scene;
  let daemon: HoldingsDaemon;
  const names = kinds.flatMap(({ faults }) => Object.keys(faults));

  before(async function () {
    const camera = await ShuffledCamera.plugIn(this);
    const decoder = ShuffledDecoder.load(this);
    const loopback = await ShuffledLoopback.load(this);
    daemon = await HoldingsDaemon.serve([CAMERA_LINK, decoder.node, loopback.node]);
    const guests = await Promise.all(daemon.sockets.map((socket) => ShuffledGuest.enter(socket)));
    const [viewer, player, caller] = guests as [ShuffledGuest, ShuffledGuest, ShuffledGuest];
    scene = { context: this, camera, decoder, loopback, viewer, player, caller };
  });
  beforeEach(keepJournal);
  afterEach(function () {
    showJournal(this.currentTest);
  });
  after(async () => {
    scene?.viewer.leave();
    scene?.player.leave();
    scene?.caller.leave();
    await daemon?.end();
    await scene?.camera.end();
    scene?.decoder.end();
    await scene?.loopback.end();
  });

  it(`${FAULTS} faults of ${names.length} kinds: all three devices work after each, and nothing is left behind`, async () => {
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
    for (const guest of [scene.viewer, scene.player, scene.caller]) guest.verify();
    console.log(`      seed ${SEED}: ${[...counts].map(([name, count]) => `${count} ${name}`).join('; ')}`);
  });
});
